// SPDX-License-Identifier: LGPL-2.1-or-later
// A program in C++17: compares its tables with those of a C file, and saves a device in reboot mode
// and loads it again. Ends with 0 if all is right.
#include "tables.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>

namespace
{

void
claim (bool holds, const std::string &what)
{
  if (holds)
    return;
  std::printf ("%s\n", what.c_str ());
  std::exit (1);
}

bool
same_text (const char *a, const char *b)
{
  return a == nullptr || b == nullptr ? a == b : std::strcmp (a, b) == 0;
}

// ---- The tables. Addresses of static things differ between the two files.

void compare_structs (const CprStruct &c, const CprStruct &cxx);

void
compare_fields (const CprField &c, const CprField &cxx)
{
  std::string name = std::string ("field ") + c.name + ": ";

  claim (same_text (c.name, cxx.name), name + "name");
  claim (same_text (c.aliases, cxx.aliases), name + "aliases");
  claim (same_text (c.written_as, cxx.written_as), name + "written_as");
  claim (c.kind == cxx.kind, name + "kind");
  claim (c.shape == cxx.shape, name + "shape");
  claim (c.layout == cxx.layout, name + "layout");
  claim (c.optional == cxx.optional && c.ignorable == cxx.ignorable, name + "optional");
  claim (c.offset == cxx.offset, name + "offset");
  claim (c.width == cxx.width, name + "width");
  claim (c.count == cxx.count, name + "count");
  claim (c.count_offset == cxx.count_offset && c.count_width == cxx.count_width, name + "count_offset");
  claim (c.default_value == cxx.default_value, name + "default_value");
  claim (c.variable == cxx.variable, name + "variable");
  claim ((c.list == nullptr) == (cxx.list == nullptr), name + "list");
  claim ((c.needed == nullptr) == (cxx.needed == nullptr), name + "needed");
  claim (c.reserved[0] == nullptr && cxx.reserved[0] == nullptr, name + "reserved");
  claim ((c.type == nullptr) == (cxx.type == nullptr), name + "type");
  if (c.type != nullptr)
    compare_structs (*c.type, *cxx.type);
}

void
compare_structs (const CprStruct &c, const CprStruct &cxx)
{
  const CprField *a = c.fields, *b = cxx.fields;

  claim (same_text (c.name, cxx.name) && c.size == cxx.size, c.name);
  for (; a->name != nullptr && b->name != nullptr; a++, b++)
    compare_fields (*a, *b);
  claim (a->name == nullptr && b->name == nullptr, "one table is longer");
}

// ---- The device, in classes as C++ has them.

class Serial
{
public:
  static const CprDeviceType type;

  uint8_t ier = 0;
  char *label = nullptr;

  explicit Serial (uint32_t divisor) : divisor (divisor)
  {
  }
  ~Serial ()
  {
    g_free (label);
  }
  Serial (const Serial &) = delete;
  Serial &operator= (const Serial &) = delete;

  bool loaded = false, prepared = false;
  enum class Parity : int8_t
  {
    NONE = 0,
    ODD = -1
  } parity = Parity::NONE;
  uint32_t divisor;

private:
  static bool
  pre_load (void *device, uint32_t version, GError **)
  {
    static_cast<Serial *> (device)->prepared = version == 3;
    return true;
  }

  static bool
  post_load (void *device, uint32_t, GError **error)
  {
    auto serial = static_cast<Serial *> (device);

    serial->loaded = true;
    if (serial->divisor != 0)
      return true;
    return cpr_error_set_errno (error, CPR_ERROR_MISMATCH, EINVAL, "the divisor is %u", serial->divisor);
  }

  static const CprField fields[];
};

const CprField Serial::fields[] = {
  CPR_FIELD (Serial, ier),
  CPR_FIELD_HEAP_STRING (Serial, label, 255, CPR_IGNORABLE),
  CPR_FIELD_OPTIONAL (Serial, parity, Serial::Parity::ODD),
  CPR_FIELD (Serial, divisor),
  CPR_FIELD_END,
};

const CprDeviceType Serial::type = [] {
  CprDeviceType type{};

  type.size = sizeof type;
  type.name = "serial";
  type.version = type.minimum_version = 3;
  type.state = { "Serial", sizeof (Serial), Serial::fields };
  type.pre_load = Serial::pre_load;
  type.post_load = Serial::post_load;
  return type;
}();

const CprDeviceType everything_type = [] {
  CprDeviceType type{};

  type.size = sizeof type;
  type.name = "everything";
  type.state = everything_struct;
  return type;
}();

// ---- The VM.

struct FreeSession
{
  void
  operator() (CprSession *session) const
  {
    cpr_session_free (session);
  }
};
using Session = std::unique_ptr<CprSession, FreeSession>;

GError *error;

void
check (bool done)
{
  claim (done, error != nullptr ? error->message : "no error was set");
}

Session
new_session (const char *incoming)
{
  CprSessionConfig config{};

  config.size = sizeof config;
  config.name = "cxx";
  config.incoming = incoming;
  config.stop = [] (void *, GError **) { return true; };
  config.start = [] (void *) {};
  Session session (cpr_session_new (&config, &error));
  check (session != nullptr);
  return session;
}

void
start (const Session &session, Serial &serial, Everything &everything)
{
  check (cpr_device_add (session.get (), "com1", &Serial::type, &serial, &error));
  check (cpr_device_add (session.get (), "everything", &everything_type, &everything, &error));
  check (cpr_session_load (session.get (), &error) && cpr_session_start (session.get (), &error));
}

void
fill (Serial &serial, Everything &all)
{
  serial.ier = 5;
  serial.label = g_strdup ("console");
  serial.parity = Serial::Parity::NONE;
  all.flag = true;
  all.i8 = -3;
  all.colour = BLUE;
  all.d = 2.5;
  all.hdr.words[1] = 77;
  all.n_queue = 2;
  all.queue[1] = 9;
  all.heap = g_new0 (int16_t, all.n_heap = 3);
  all.heap[2] = -8;
  std::strcpy (all.text, "text");
  all.label = g_strdup ("label");
  all.pointer = g_new0 (Inner, 1);
  all.pointer->x = 4;
  static_cast<Inner *> (list_append (&all.list))->x = 1;
  static_cast<Inner *> (list_append (&all.list))->x = 2;
  all.fd = all.fds[0] = all.fds[1] = -1;
  all.fifo_depth = 64;
  all.before_us = 12;
  a_variable = 99;
  some_variables[2] = 98;
  a_struct.x = 97;
}

void
compare (const Serial &serial, const Everything &all)
{
  claim (serial.prepared && serial.loaded, "pre_load or post_load wasn't called");
  claim (serial.ier == 5 && same_text (serial.label, "console") && serial.divisor == 3, "serial");
  claim (serial.parity == Serial::Parity::NONE, "parity");
  claim (all.flag && all.i8 == -3 && all.colour == BLUE && all.d == 2.5 && all.hdr.words[1] == 77, "numbers");
  claim (all.n_queue == 2 && all.queue[1] == 9 && all.n_heap == 3 && all.heap[2] == -8, "arrays");
  claim (same_text (all.text, "text") && same_text (all.label, "label"), "strings");
  claim (all.pointer != nullptr && all.pointer->x == 4, "pointer");
  claim (g_slist_length (all.list) == 2 && static_cast<Inner *> (all.list->next->data)->x == 2, "list");
  claim (all.fd == -1 && all.fifo_depth == 64 && all.before_us == 12, "the rest");
  claim (a_variable == 99 && some_variables[2] == 98 && a_struct.x == 97, "variables");
}

void
clear (Everything &all)
{
  g_free (all.heap);
  g_free (all.label);
  g_free (all.pointer);
  list_clear (&all.list);
}

} // namespace

int
main (int, char **argv)
{
  std::string uri = std::string ("file:") + argv[1];
  CprUpdate update{};

  compare_structs (c_struct, everything_struct);
  {
    Session session = new_session (nullptr);
    Serial serial (3);
    Everything everything{};

    fill (serial, everything);
    start (session, serial, everything);
    update.size = sizeof update;
    update.mode = CPR_MODE_REBOOT;
    update.uri = uri.c_str ();
    check (cpr_session_update (session.get (), &update, &error));
    clear (everything);
  }
  a_variable = some_variables[2] = a_struct.x = 0;
  {
    Session session = new_session (uri.c_str ());
    Serial serial (1);
    Everything everything{};

    start (session, serial, everything);
    compare (serial, everything);
    clear (everything);
  }
  std::printf ("saved and loaded\n");
  return 0;
}
