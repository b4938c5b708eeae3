/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preflight-judge.h"

#include "judge-bytes.h"

enum
{
  VM = 1,
  FDS = 3,
  RAM = 4,
  SCHEMA = 5,
  SECTION = 6,
  DMA = 9,
  QUESTION = 16,
  DEVICES = 17,
  ANSWER = 18,
  FINDING = 19
};

static Payload
find (const JudgedChunk *chunks, size_t n, uint32_t type)
{
  for (size_t i = 0; i < n; i++)
    if (chunks[i].type == type)
      return chunks[i].payload;
  return (Payload){ NULL, 0 };
}

static bool
is_used_up (const Bytes *bytes)
{
  return !bytes->bad && bytes->left == 0;
}

/* ---- The answer. */

static bool
is_build_id (Text id)
{
  for (uint64_t i = 0; i < id.len; i++)
    if (!g_ascii_isxdigit (id.at[i]))
      return false;
  return true;
}

static bool
judge_finding (Payload payload, uint64_t *severity)
{
  Bytes bytes = open_payload (payload);
  uint64_t subject;

  *severity = number (&bytes, 4);
  subject = number (&bytes, 4);
  text (&bytes, 2);
  text (&bytes, 2);
  return is_used_up (&bytes) && *severity <= 1 && subject >= 1 && subject <= 6;
}

bool
judge_answer (const JudgedChunk *chunks, size_t n)
{
  uint64_t n_findings = 0, verdict, should_be = 0;
  Bytes bytes;
  bool ok;

  if (n == 0 || chunks[0].type != ANSWER)
    return false;
  bytes = open_payload (chunks[0].payload);
  number (&bytes, 8);
  verdict = number (&bytes, 4);
  text (&bytes, 2);
  ok = is_build_id (text (&bytes, 2));
  number (&bytes, 8);
  number (&bytes, 8);
  ok = ok && is_used_up (&bytes) && judge_schema (find (chunks, n, SCHEMA));
  for (size_t i = 0; ok && i < n; i++)
    if (chunks[i].type == FINDING)
      {
        uint64_t severity;

        ok = judge_finding (chunks[i].payload, &severity) && ++n_findings <= 1000;
        should_be |= severity;
      }
  return ok && verdict == should_be;
}

/* ---- The question. */

/* The schema is one; its last part is the types. */
static uint64_t
count_types (Payload schema)
{
  Bytes bytes = open_payload (schema);

  for (uint64_t n = number (&bytes, 4); n > 0; n--)
    {
      uint64_t n_fields = (name (&bytes), number (&bytes, 4));

      for (; n_fields > 0; n_fields--)
        {
          name (&bytes);
          number (&bytes, 8);
          number (&bytes, 4);
          number (&bytes, 8);
        }
    }
  return number (&bytes, 4);
}

typedef struct
{
  Text name;
  uint64_t type, flags;
} Device;

static Device
read_device (Bytes *bytes)
{
  Device device = { .name = name (bytes) };

  device.type = number (bytes, 4);
  device.flags = number (bytes, 4);
  return device;
}

/* The device of that name, the first of @n. */
static bool
find_device (Payload devices, uint64_t n, Text wanted, Device *device)
{
  Bytes bytes = open_payload (devices);

  for (number (&bytes, 4); n > 0; n--)
    {
      *device = read_device (&bytes);
      if (same (device->name, wanted))
        return true;
    }
  return false;
}

static bool
judge_devices (Payload payload, uint64_t n_types)
{
  Bytes bytes = open_payload (payload);
  uint64_t n = number (&bytes, 4);

  for (uint64_t i = 0; i < n; i++)
    {
      Device device = read_device (&bytes), other;

      if (bytes.bad || device.type >= n_types || device.flags > 1 || find_device (payload, i, device.name, &other))
        return false;
    }
  return is_used_up (&bytes);
}

static Text
read_section_name (const JudgedChunk *chunk)
{
  Bytes bytes = open_payload (chunk->payload);

  return name (&bytes);
}

static bool
judge_sections (const JudgedChunk *chunks, size_t n, Payload devices)
{
  Bytes all = open_payload (devices);
  uint64_t n_devices = number (&all, 4), n_sections = 0, n_wanted = 0;

  for (uint64_t i = 0; i < n_devices; i++)
    n_wanted += read_device (&all).flags;
  for (size_t i = 0; i < n; i++)
    {
      Bytes bytes = open_payload (chunks[i].payload);
      uint64_t type, zero;
      Device device;
      Text owner;

      if (chunks[i].type != SECTION)
        continue;
      owner = name (&bytes);
      type = number (&bytes, 4);
      zero = number (&bytes, 4);
      if (bytes.bad || zero != 0 || !find_device (devices, n_devices, owner, &device) || device.flags != 1 ||
          device.type != type)
        return false;
      for (size_t j = 0; j < i; j++)
        if (chunks[j].type == SECTION && same (read_section_name (&chunks[j]), owner))
          return false;
      n_sections++;
    }
  return n_sections == n_wanted;
}

/* The chunk may be absent. */
static bool
judge_assigned (const JudgedChunk *chunks, size_t n, Payload fds, Payload ram)
{
  for (size_t i = 0; i < n; i++)
    if (chunks[i].type == DMA)
      return judge_dma (chunks[i].payload, fds, ram);
  return true;
}

bool
judge_question (const JudgedChunk *chunks, size_t n)
{
  Payload schema = find (chunks, n, SCHEMA), devices = find (chunks, n, DEVICES), fds = find (chunks, n, FDS),
          ram = find (chunks, n, RAM);
  uint64_t flags, fd;
  Bytes bytes;

  if (n == 0 || chunks[0].type != QUESTION)
    return false;
  bytes = open_payload (chunks[0].payload);
  flags = number (&bytes, 4);
  fd = number (&bytes, 4);
  number (&bytes, 8);
  number (&bytes, 8);
  if (!is_used_up (&bytes) || flags > 1 || fd > 2147483647 || (flags == 1) != (n == 1))
    return false;
  return n == 1 || (judge_vm (find (chunks, n, VM)) && judge_fds (fds) && judge_ram (ram, fds) &&
                    judge_assigned (chunks, n, fds, ram) && judge_schema (schema) &&
                    judge_devices (devices, count_types (schema)) && judge_sections (chunks, n, devices));
}
