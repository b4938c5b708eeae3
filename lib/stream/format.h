/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_FORMAT_H
#define CPR_STREAM_FORMAT_H

#include <stdint.h>

/* The layout of the stream, version 1.0: little-endian, chunks aligned to 8 bytes.
 * doc/stream-format.md is the whole of it.
 *
 *   header (32 bytes)
 *     +0  magic           8 bytes
 *     +8  major           u16    another major: refused
 *    +10  minor           u16    a higher minor: read, unknown mandatory chunks are refused
 *    +12  byte order      u32    CPR_FORMAT_BYTE_ORDER
 *    +16  flags           u64    0; unknown flags: refused
 *    +24  checksum        u64    XXH3-64 of the 24 bytes before
 *   chunk, repeated
 *     +0  type            u32    CPR_CHUNK_…
 *     +4  flags           u32    CPR_CHUNK_FLAG_…
 *     +8  length          u64    of the payload
 *    +16  payload                length bytes, then zeros up to a multiple of 8
 *     +n  checksum        u64    XXH3-64 of the chunk from its type to the last zero
 *   the last chunk is CPR_CHUNK_END, its payload the u64 number of chunks before it; nothing
 *   follows it
 *
 * The chunks up to the first SECTION are the manifest; it is complete before any device exists. */

#define CPR_FORMAT_MAGIC \
  "\x89"                 \
  "CPR\r\n\x1a\n"
#define CPR_FORMAT_MAGIC_SIZE 8
#define CPR_FORMAT_MAJOR      1
#define CPR_FORMAT_MINOR      0
#define CPR_FORMAT_BYTE_ORDER 0x01020304u

#define CPR_FORMAT_HEADER_SIZE       32
#define CPR_FORMAT_CHUNK_HEADER_SIZE 16
#define CPR_FORMAT_CHECKSUM_SIZE     8

enum
{
  CPR_CHUNK_END = 0,
  CPR_CHUNK_VM = 1,        /* whose state this is */
  CPR_CHUNK_PROGRAM = 2,   /* the program that wrote it, and how to execute it again */
  CPR_CHUNK_FDS = 3,       /* the fd table */
  CPR_CHUNK_RAM = 4,       /* the RAM blocks */
  CPR_CHUNK_SCHEMA = 5,    /* structs and device types */
  CPR_CHUNK_SECTION = 6,   /* one device's fields */
  CPR_CHUNK_BULK = 7,      /* a piece of a device's other data */
  CPR_CHUNK_SUCCESSOR = 8, /* the program that said it would take this up */
  CPR_CHUNK_DMA = 9,       /* assigned devices and what they reach of RAM; only where there are any */
  CPR_CHUNK_STORE = 10,    /* where the contents of RAM are, in reboot mode */
  CPR_CHUNK_SUMS = 11,     /* checksums of them */
  CPR_CHUNK_PAGES = 12,    /* a piece of them, in a stream of its own */
  CPR_CHUNK_QUESTION = 16, /* a preflight's messages */
  CPR_CHUNK_DEVICES = 17,
  CPR_CHUNK_ANSWER = 18,
  CPR_CHUNK_FINDING = 19
};

enum
{
  CPR_CHUNK_FLAG_OPTIONAL = 1u << 0 /* a reader that doesn't know the type skips it */
};

enum
{
  CPR_QUESTION_FLAG_SCHEMA = 1u << 0 /* of QUESTION: only the schema is asked for */
};

enum
{
  CPR_DEVICES_FLAG_TRIAL = 1u << 0 /* of a device in DEVICES: a SECTION follows, saved while the guest ran */
};

/* Flags of a field in the schema. */
enum
{
  CPR_FIELD_FLAG_ARRAY = 1u << 0,     /* `count` values */
  CPR_FIELD_FLAG_COUNTED = 1u << 1,   /* their number comes first, `count` is its maximum */
  CPR_FIELD_FLAG_OPTIONAL = 1u << 2,  /* a byte comes first that says whether there is anything */
  CPR_FIELD_FLAG_IGNORABLE = 1u << 3, /* a reader that doesn't know it may drop it */
  CPR_FIELD_FLAGS = (1u << 4) - 1
};

/* Limits of what a stream may name; a reader refuses more. */
#define CPR_LIMIT_FIELDS          4096 /* fields of a struct */
#define CPR_LIMIT_DEPTH           16   /* structs in structs */
#define CPR_LIMIT_VFIO_CONTAINERS 256
#define CPR_LIMIT_VFIO_DEVICES    4096        /* of all containers together */
#define CPR_LIMIT_PAYLOAD         (64u << 20) /* of a chunk that isn't BULK */
#define CPR_LIMIT_BULK            (4u << 20)  /* the data of a BULK chunk */
/* Limits of a program's own tables. */
#define CPR_LIMIT_STRUCT (1 << 30) /* bytes of a struct in memory */

#define CPR_SCHEMA_NO_STRUCT UINT32_MAX

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#  error "libcpr's stream code copies little-endian values; this machine is big-endian"
#endif

#endif
