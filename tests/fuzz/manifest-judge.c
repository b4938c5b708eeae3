/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "judge-bytes.h"
#include "manifest-judge.h"

bool
judge_vm (Payload payload)
{
  Bytes bytes = open_payload (payload);
  bool ok;

  name (&bytes);
  ok = text (&bytes, 2).len == 36;
  number (&bytes, 4);
  number (&bytes, 4);
  number (&bytes, 8);
  ok = number (&bytes, 4) <= 3 && ok;
  number (&bytes, 8);
  number (&bytes, 8);
  number (&bytes, 8);
  return ok && !bytes.bad && bytes.left == 0;
}

bool
judge_program (Payload payload)
{
  Bytes bytes = open_payload (payload);
  uint64_t argc = number (&bytes, 4), n_variables, n_limits;
  bool ok = argc >= 1;

  for (uint64_t i = 0; i < argc && !bytes.bad; i++)
    text (&bytes, 4);
  n_variables = number (&bytes, 4);
  for (uint64_t i = 0; i < n_variables && !bytes.bad; i++)
    text (&bytes, 4);
  text (&bytes, 4);
  ok = text (&bytes, 4).len <= 15 && ok;
  number (&bytes, 4);
  number (&bytes, 8);
  n_limits = number (&bytes, 4);
  ok = n_limits >= 1 && n_limits <= 64 && ok;
  for (uint64_t i = 0; i < 2 * n_limits && !bytes.bad; i++)
    number (&bytes, 8);
  return ok && !bytes.bad && bytes.left == 0;
}

bool
judge_successor (Payload payload)
{
  Bytes bytes = open_payload (payload);
  bool ok = true;
  Text id;

  number (&bytes, 8);
  number (&bytes, 8);
  id = text (&bytes, 2);
  for (uint64_t i = 0; i < id.len; i++)
    ok = g_ascii_isxdigit (id.at[i]) && ok;
  return ok && !bytes.bad && bytes.left == 0;
}

typedef struct
{
  Text name;
  uint64_t index, fd;
} Fd;

static Fd
read_fd (Bytes *bytes)
{
  Fd fd = { .name = text (bytes, 2) };

  fd.index = number (bytes, 4);
  fd.fd = number (bytes, 4);
  number (bytes, 4);
  number (bytes, 4);
  number (bytes, 8);
  number (bytes, 8);
  number (bytes, 4);
  number (bytes, 4);
  if (fd.name.len < 1 || fd.name.len > (begins_with (fd.name, "libcpr:") ? 7 + 503 : 255) || fd.index > 2147483647 ||
      fd.fd > 2147483647)
    bytes->bad = true;
  return fd;
}

bool
judge_fds (Payload payload)
{
  Bytes bytes = open_payload (payload);
  uint64_t n = number (&bytes, 4);

  for (uint64_t i = 0; i < n && !bytes.bad; i++)
    {
      Bytes others = open_payload (payload);
      Fd fd = read_fd (&bytes);

      number (&others, 4);
      for (uint64_t j = 0; j < i && !bytes.bad; j++)
        {
          Fd other = read_fd (&others);

          if (other.fd == fd.fd || (other.index == fd.index && same (other.name, fd.name)))
            return false;
        }
    }
  return !bytes.bad && bytes.left == 0;
}

static bool
has_fd (Payload fds, Text block)
{
  Bytes bytes = open_payload (fds);

  for (uint64_t n = number (&bytes, 4); n > 0; n--)
    {
      Fd fd = read_fd (&bytes);

      if (fd.index == 0 && begins_with (fd.name, "libcpr:ram:") &&
          same (block, (Text){ fd.name.at + 11, fd.name.len - 11 }))
        return true;
    }
  return false;
}

static Text
read_block (Bytes *bytes)
{
  Text block = name (bytes);
  uint64_t size = number (bytes, 8), backing = number (bytes, 4), flags = number (bytes, 4);

  if (size < 1 || size > INT64_MAX || backing > 3 || flags > 31)
    bytes->bad = true;
  return block;
}

bool
judge_ram (Payload payload, Payload fds)
{
  Bytes bytes = open_payload (payload);
  uint64_t n = number (&bytes, 4);

  for (uint64_t i = 0; i < n && !bytes.bad; i++)
    {
      Bytes others = open_payload (payload);
      Text block = read_block (&bytes);

      if (bytes.bad || !has_fd (fds, block))
        return false;
      number (&others, 4);
      for (uint64_t j = 0; j < i; j++)
        if (same (read_block (&others), block))
          return false;
    }
  return !bytes.bad && bytes.left == 0;
}

/* ---- Assigned devices. */

/* The fd of this name; @prefix and @rest together. */
static bool
has_named_fd (Payload fds, const char *prefix, Text rest, uint64_t index)
{
  Bytes bytes = open_payload (fds);
  size_t len = strlen (prefix);

  for (uint64_t n = number (&bytes, 4); n > 0; n--)
    {
      Fd fd = read_fd (&bytes);

      if (fd.index == index && begins_with (fd.name, prefix) &&
          same (rest, (Text){ fd.name.at + len, fd.name.len - len }))
        return true;
    }
  return false;
}

static uint64_t
get_block_size (Payload ram, uint64_t index)
{
  Bytes bytes = open_payload (ram);
  uint64_t n = number (&bytes, 4), size = 0;

  for (uint64_t i = 0; i <= index && i < n; i++)
    {
      name (&bytes);
      size = number (&bytes, 8);
      number (&bytes, 8);
    }
  return index < n ? size : 0;
}

typedef struct
{
  Text container, device;
  uint64_t group;
} Assigned;

/* The part of the payload that was judged so far. */
typedef struct
{
  Bytes bytes;
  Payload fds, ram;
  Text container;
  uint64_t backend;
  GArray *devices; /* Assigned */
} Dma;

static bool
judge_irqs (Dma *dma, Text device)
{
  uint64_t n = number (&dma->bytes, 4), last = 0;

  for (uint64_t i = 0; i < n; i++)
    {
      uint64_t index = number (&dma->bytes, 4), vector = number (&dma->bytes, 4), role = number (&dma->bytes, 4);
      uint64_t flags = number (&dma->bytes, 4), key = (index << 16 | vector) * 2 + role;

      if (dma->bytes.bad || index > 32767 || vector > 65535 || role > 1 || flags > 1 || (i > 0 && key <= last) ||
          !has_named_fd (dma->fds, role == 0 ? "libcpr:vfio-irq:" : "libcpr:vfio-unmask:", device,
                         vector + 65536 * index))
        return false;
      last = key;
    }
  return true;
}

static bool
judge_assigned (Dma *dma)
{
  Assigned device = { .container = dma->container, .device = name (&dma->bytes) };

  name (&dma->bytes);
  device.group = number (&dma->bytes, 4);
  if (dma->bytes.bad || device.group > 2147483647 || (dma->backend != 1 && device.group != 0) ||
      dma->devices->len == 4096 ||
      (dma->backend != 3 && !has_named_fd (dma->fds, "libcpr:vfio-device:", device.device, 0)) ||
      (dma->backend == 1 && !has_named_fd (dma->fds, "libcpr:vfio-group", (Text){ device.device.at, 0 }, device.group)))
    return false;
  for (guint i = 0; i < dma->devices->len; i++)
    {
      const Assigned *other = &g_array_index (dma->devices, Assigned, i);

      if (same (other->device, device.device) ||
          (dma->backend == 1 && other->group == device.group && other->group != G_MAXUINT64 &&
           !same (other->container, device.container)))
        return false;
    }
  if (dma->backend != 1)
    device.group = G_MAXUINT64;
  g_array_append_val (dma->devices, device);
  return judge_irqs (dma, device.device);
}

static bool
judge_mappings (Dma *dma)
{
  uint64_t n = number (&dma->bytes, 4), last = 0;

  for (uint64_t i = 0; i < n; i++)
    {
      uint64_t iova = number (&dma->bytes, 8), size = number (&dma->bytes, 8), block = number (&dma->bytes, 4);
      uint64_t flags = number (&dma->bytes, 4), offset = number (&dma->bytes, 8);
      uint64_t there = get_block_size (dma->ram, block);

      if (dma->bytes.bad || size == 0 || size - 1 > UINT64_MAX - iova || flags < 1 || flags > 3 || size > there ||
          offset > there - size || (i > 0 && iova <= last))
        return false;
      last = iova + size - 1;
    }
  return true;
}

static bool
judge_container (Dma *dma)
{
  uint64_t ioas, n;

  dma->container = name (&dma->bytes);
  dma->backend = number (&dma->bytes, 4);
  ioas = number (&dma->bytes, 4);
  n = number (&dma->bytes, 4);
  if (dma->bytes.bad || dma->backend < 1 || dma->backend > 3 || (dma->backend != 2 && ioas != 0) ||
      (dma->backend != 3 && !has_named_fd (dma->fds, "libcpr:vfio-container:", dma->container, 0)))
    return false;
  for (uint64_t i = 0; i < n; i++)
    if (!judge_assigned (dma))
      return false;
  return judge_mappings (dma);
}

bool
judge_dma (Payload payload, Payload fds, Payload ram)
{
  g_autoptr (GArray) devices = g_array_new (FALSE, FALSE, sizeof (Assigned));
  g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (Text));
  Dma dma = { .bytes = open_payload (payload), .fds = fds, .ram = ram, .devices = devices };
  uint64_t n = number (&dma.bytes, 4);

  for (uint64_t i = 0; i < n; i++)
    {
      if (i == 256 || !judge_container (&dma))
        return false;
      for (guint k = 0; k < names->len; k++)
        if (same (g_array_index (names, Text, k), dma.container))
          return false;
      g_array_append_val (names, dma.container);
    }
  return !dma.bytes.bad && dma.bytes.left == 0;
}

/* ---- The schema. */

enum
{
  BOOL = 1,
  UINT,
  INT,
  FLOAT,
  BYTES,
  STRUCT,
  STRING,
  FD,
  TIME,
  ARRAY = 1,
  COUNTED = 2,
  OPTIONAL = 4,
  IGNORABLE = 8
};

typedef struct
{
  Text name;
  uint64_t kind, width, flags, count, structure, standard;
} Field;

static Field
read_field (Bytes *bytes)
{
  Field field = { .name = name (bytes) };

  field.kind = number (bytes, 1);
  field.width = number (bytes, 1);
  field.flags = number (bytes, 2);
  field.count = number (bytes, 4);
  field.structure = number (bytes, 4);
  field.standard = number (bytes, 8);
  return field;
}

static bool
width_is_right (const Field *field)
{
  static const char *const widths[] = { "", "\1", "\1\2\4\10", "\1\2\4\10", "\4\10", "\1", "", "\1", "\4", "\10" };

  if (field->kind < BOOL || field->kind > TIME)
    return false;
  if (field->kind == STRUCT)
    return field->width == 0;
  return field->width != 0 && strchr (widths[field->kind], (int) field->width) != NULL;
}

static bool
default_is_right (const Field *field)
{
  unsigned bits = (unsigned) (8 * field->width);
  uint64_t value = field->standard;

  if (value == 0)
    return true;
  if ((field->flags & OPTIONAL) == 0)
    return false;
  switch (field->kind)
    {
    case BOOL:
      return value == 1;
    case UINT:
    case FLOAT:
      return bits == 64 || value >> bits == 0;
    case INT:
      return bits == 64 || value < UINT64_C (1) << (bits - 1) || value >= -(UINT64_C (1) << (bits - 1));
    default:
      return field->kind == TIME;
    }
}

static bool
field_is_right (const Field *field)
{
  bool array = (field->flags & ARRAY) != 0, counted = (field->flags & COUNTED) != 0;
  bool optional = (field->flags & OPTIONAL) != 0;

  return field->flags < 16 && (array || !counted) && (optional || (field->flags & IGNORABLE) == 0) &&
         width_is_right (field) && field->count >= 1 && (field->count == 1 || array || field->kind == STRING) &&
         (field->kind != BYTES || array) && (field->kind != STRING || !array) &&
         !(field->kind == STRUCT && optional && array && !counted) && default_is_right (field) &&
         (field->kind == STRUCT || field->structure == 0xffffffff);
}

/* The depth of a struct whose fields come next, or 0. @depths: those of the structs before it. */
static unsigned
judge_struct (Bytes *bytes, const GArray *depths)
{
  uint64_t n = (name (bytes), number (bytes, 4));
  Bytes start = *bytes;
  unsigned depth = 1;

  if (n < 1 || n > 4096)
    return 0;
  for (uint64_t i = 0; i < n; i++)
    {
      Field field = read_field (bytes);
      Bytes others = start;

      if (bytes->bad || !field_is_right (&field) || (field.kind == STRUCT && field.structure >= depths->len))
        return 0;
      for (uint64_t j = 0; j < i; j++)
        if (same (read_field (&others).name, field.name))
          return 0;
      if (field.kind == STRUCT)
        depth = MAX (depth, 1 + g_array_index (depths, unsigned, field.structure));
    }
  return depth <= 16 ? depth : 0;
}

static bool
judge_types (Bytes *bytes, uint64_t n_structs)
{
  uint64_t n = number (bytes, 4);
  Bytes start = *bytes;

  for (uint64_t i = 0; i < n; i++)
    {
      Text type = name (bytes);
      uint64_t version = number (bytes, 4), minimum = number (bytes, 4), structure = number (bytes, 4);
      Bytes others = start;

      if (bytes->bad || minimum > version || structure >= n_structs)
        return false;
      for (uint64_t j = 0; j < i; j++)
        {
          if (same (name (&others), type))
            return false;
          number (&others, 4);
          number (&others, 8);
        }
    }
  return true;
}

bool
judge_schema (Payload payload)
{
  g_autoptr (GArray) depths = g_array_new (FALSE, FALSE, sizeof (unsigned));
  Bytes bytes = open_payload (payload);
  uint64_t n = number (&bytes, 4);

  for (uint64_t i = 0; i < n && !bytes.bad; i++)
    {
      unsigned depth = judge_struct (&bytes, depths);

      if (depth == 0)
        return false;
      g_array_append_val (depths, depth);
    }
  return judge_types (&bytes, depths->len) && !bytes.bad && bytes.left == 0;
}
