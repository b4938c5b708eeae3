# SPDX-License-Identifier: LGPL-2.1-or-later
# For scripts that make several claims (*.tap): source this, call one of these for each claim, and at last done_testing.
tap_count=0

ok() # CLAIM
{
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1"
}

not_ok() # CLAIM [FILE-WITH-THE-REASON]
{
  tap_count=$((tap_count + 1))
  echo "not ok $tap_count - $1"
  [ $# -lt 2 ] || sed 's/^/#   /' "$2"
}

skip() # CLAIM WHAT-THE-MACHINE-LACKS
{
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1 # SKIP $2"
}

done_testing()
{
  echo "1..$tap_count"
  exit 0
}
