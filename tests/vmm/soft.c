/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A software CPU for machines without /dev/kvm: the part of x86-64 that the built-in guests use.
 * Paging and segments aren't looked at: addresses are guest-physical, as the guests' mapping is
 * one to one. */
#include "soft.h"

#include <inttypes.h>
#include <string.h>

#include "support/clock.h"
#include "support/error.h"

enum
{
  RAX = 0,
  RCX = 1,
  RDX = 2,
  RSP = 4,
  RSI = 6,
  RDI = 7
};

#define FLAG_CF   (1U << 0)
#define FLAG_ONE  (1U << 1)
#define FLAG_PF   (1U << 2)
#define FLAG_ZF   (1U << 6)
#define FLAG_SF   (1U << 7)
#define FLAG_OF   (1U << 11)
#define FLAGS_ALU (FLAG_CF | FLAG_PF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* The most bytes that an instruction has. */
#define INSN_MAX 15

#define TSC_KHZ 1000000

typedef struct
{
  bool stop;

  uint64_t regs[16];
  uint64_t rip;
  uint64_t rflags;
  uint64_t tsc_offset;
} SoftVcpu;

typedef struct
{
  AccelConfig config;
  SoftVcpu vcpus[];
} Soft;

/* One instruction while it is decoded and executed. `fault` is set by an access outside RAM. */
typedef struct
{
  Soft *soft;
  SoftVcpu *vcpu;
  const uint8_t *next;
  unsigned rex;
  unsigned size;
  unsigned reg;
  unsigned rm;
  bool memory;
  uint64_t address;
  bool fault;
  bool unknown;
} Insn;

/* The TSC is CLOCK_MONOTONIC plus an offset; with the offset kept it goes on without a seam. */
static const CprField soft_fields[] = {
  CPR_FIELD_ARRAY (SoftVcpu, regs),
  CPR_FIELD (SoftVcpu, rip),
  CPR_FIELD (SoftVcpu, rflags),
  CPR_FIELD (SoftVcpu, tsc_offset),
  CPR_FIELD_END,
};

const CprDeviceType soft_vcpu_type = {
  .size = sizeof (CprDeviceType),
  .name = "soft-vcpu",
  .version = 1,
  .minimum_version = 1,
  .state = { "SoftVcpu", sizeof (SoftVcpu), soft_fields },
};

static uint64_t
cut (uint64_t value, unsigned size)
{
  return size == 8 ? value : (uint32_t) value;
}

static uint64_t
fetch (Insn *insn, unsigned size)
{
  uint64_t value = 0;
  memcpy (&value, insn->next, size);
  insn->next += size;
  return value;
}

static uint64_t
fetch_signed (Insn *insn, unsigned size)
{
  uint64_t value = fetch (insn, size);
  return size == 1 ? (uint64_t) (int8_t) value : (uint64_t) (int32_t) value;
}

static unsigned
rex_bit (const Insn *insn, unsigned bit)
{
  return insn->rex & bit ? 8 : 0;
}

/* ModRM, SIB and displacement. */
static void
fetch_operands (Insn *insn)
{
  const uint64_t *regs = insn->vcpu->regs;
  unsigned modrm = fetch (insn, 1);
  unsigned mod = modrm >> 6;
  insn->reg = (modrm >> 3 & 7) | rex_bit (insn, REX_R);
  insn->rm = (modrm & 7) | rex_bit (insn, REX_B);
  insn->memory = mod != 3;
  if (!insn->memory)
    return;

  uint64_t address;
  bool displacement_only = false;
  if ((modrm & 7) == RSP)
    {
      unsigned sib = fetch (insn, 1);
      unsigned index = (sib >> 3 & 7) | rex_bit (insn, REX_X);
      displacement_only = mod == 0 && (sib & 7) == 5;
      address = displacement_only ? 0 : regs[(sib & 7) | rex_bit (insn, REX_B)];
      if (index != RSP)
        address += regs[index] << (sib >> 6);
    }
  else if (mod == 0 && (modrm & 7) == 5)
    {
      /* Relative to the instruction's end, which isn't known here. */
      insn->unknown = true;
      return;
    }
  else
    address = regs[insn->rm];

  if (mod == 1)
    address += fetch_signed (insn, 1);
  else if (mod == 2 || displacement_only)
    address += fetch_signed (insn, 4);
  insn->address = address;
}

/* Aligned accesses are atomic, as a real CPU's are: other vCPUs and the monitor look on. */
static uint64_t
load (const void *from, unsigned size)
{
  uint64_t value = 0;
  if ((uintptr_t) from % size)
    memcpy (&value, from, size);
  else if (size == 8)
    value = __atomic_load_n ((const uint64_t *) from, __ATOMIC_RELAXED);
  else
    value = __atomic_load_n ((const uint32_t *) from, __ATOMIC_RELAXED);
  return value;
}

static void
store (void *to, uint64_t value, unsigned size)
{
  if ((uintptr_t) to % size)
    memcpy (to, &value, size);
  else if (size == 8)
    __atomic_store_n ((uint64_t *) to, value, __ATOMIC_RELAXED);
  else
    __atomic_store_n ((uint32_t *) to, (uint32_t) value, __ATOMIC_RELAXED);
}

static uint64_t
read_rm (Insn *insn)
{
  if (!insn->memory)
    return cut (insn->vcpu->regs[insn->rm], insn->size);

  const void *from = guest_ram_at (insn->soft->config.ram, insn->address, insn->size);
  if (from)
    return load (from, insn->size);
  insn->fault = true;
  return 0;
}

static void
write_register (Insn *insn, unsigned reg, uint64_t value)
{
  insn->vcpu->regs[reg] = cut (value, insn->size);
}

static void
write_rm (Insn *insn, uint64_t value)
{
  if (!insn->memory)
    {
      write_register (insn, insn->rm, value);
      return;
    }
  void *to = guest_ram_at (insn->soft->config.ram, insn->address, insn->size);
  if (to)
    store (to, value, insn->size);
  else
    insn->fault = true;
}

static void
set_flags (Insn *insn, uint64_t result, bool carry, bool overflow)
{
  unsigned sign = insn->size * 8 - 1;
  uint64_t flags = insn->vcpu->rflags & ~(uint64_t) FLAGS_ALU;
  flags |= carry ? FLAG_CF : 0;
  flags |= overflow ? FLAG_OF : 0;
  flags |= result == 0 ? FLAG_ZF : 0;
  flags |= result >> sign & 1 ? FLAG_SF : 0;
  flags |= __builtin_parity (result & 0xff) ? 0 : FLAG_PF;
  insn->vcpu->rflags = flags;
}

/* The operations of the opcodes 00 to 3f and of the group 80 to 83. */
enum
{
  ALU_ADD = 0,
  ALU_OR = 1,
  ALU_AND = 4,
  ALU_SUB = 5,
  ALU_XOR = 6,
  ALU_CMP = 7
};

static bool
alu (Insn *insn, unsigned operation, uint64_t a, uint64_t b, uint64_t *result)
{
  unsigned sign = insn->size * 8 - 1;
  b = cut (b, insn->size);
  switch (operation)
    {
    case ALU_ADD:
      *result = cut (a + b, insn->size);
      set_flags (insn, *result, *result < a, (~(a ^ b) & (a ^ *result)) >> sign & 1);
      return true;
    case ALU_SUB:
    case ALU_CMP:
      *result = cut (a - b, insn->size);
      set_flags (insn, *result, a < b, ((a ^ b) & (a ^ *result)) >> sign & 1);
      return true;
    case ALU_OR:
      *result = a | b;
      break;
    case ALU_AND:
      *result = a & b;
      break;
    case ALU_XOR:
      *result = a ^ b;
      break;
    default:
      return false;
    }
  set_flags (insn, *result, false, false);
  return true;
}

static bool
alu_to_rm (Insn *insn, unsigned operation, uint64_t operand)
{
  uint64_t result;
  if (!alu (insn, operation, read_rm (insn), operand, &result))
    return false;
  if (operation != ALU_CMP)
    write_rm (insn, result);
  return true;
}

static bool
alu_to_register (Insn *insn, unsigned reg, unsigned operation, uint64_t operand)
{
  uint64_t result;
  if (!alu (insn, operation, cut (insn->vcpu->regs[reg], insn->size), operand, &result))
    return false;
  if (operation != ALU_CMP)
    write_register (insn, reg, result);
  return true;
}

static bool
increment (Insn *insn, bool down)
{
  uint64_t carry = insn->vcpu->rflags & FLAG_CF;
  if (!alu_to_rm (insn, down ? ALU_SUB : ALU_ADD, 1))
    return false;
  insn->vcpu->rflags = (insn->vcpu->rflags & ~(uint64_t) FLAG_CF) | carry;
  return true;
}

static bool
shift (Insn *insn, unsigned count)
{
  unsigned bits = insn->size * 8;
  uint64_t value = read_rm (insn), result;
  count &= bits - 1;
  if (count == 0)
    return true;

  switch (insn->reg & 7)
    {
    case 4:
      result = cut (value << count, insn->size);
      set_flags (insn, result, value >> (bits - count) & 1, (result ^ value) >> (bits - 1) & 1);
      break;
    case 5:
      result = value >> count;
      set_flags (insn, result, value >> (count - 1) & 1, value >> (bits - 1) & 1);
      break;
    default:
      return false;
    }
  write_rm (insn, result);
  return true;
}

static bool
condition_holds (const SoftVcpu *vcpu, unsigned condition)
{
  static const unsigned any_of[] = { FLAG_OF, FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_SF, FLAG_PF, 0, FLAG_ZF };
  uint64_t flags = vcpu->rflags;
  bool signed_less = condition >= 12 && !(flags & FLAG_SF) != !(flags & FLAG_OF);
  bool holds = signed_less || (flags & any_of[condition >> 1]);
  return holds != (condition & 1);
}

static bool
jump (Insn *insn, unsigned size, bool taken)
{
  uint64_t distance = fetch_signed (insn, size);
  if (taken)
    insn->next += (int64_t) distance;
  return true;
}

static bool
execute_0f (Insn *insn)
{
  uint64_t *regs = insn->vcpu->regs;
  unsigned opcode = fetch (insn, 1);
  if ((opcode & 0xf0) == 0x80)
    return jump (insn, 4, condition_holds (insn->vcpu, opcode & 15));
  if (opcode != 0x31)
    return false;

  uint64_t tsc = get_monotonic_ns () + insn->vcpu->tsc_offset;
  regs[RAX] = (uint32_t) tsc;
  regs[RDX] = tsc >> 32;
  return true;
}

static bool
execute_alu (Insn *insn, unsigned opcode)
{
  unsigned operation = opcode >> 3;
  switch (opcode & 7)
    {
    case 1:
      fetch_operands (insn);
      return alu_to_rm (insn, operation, insn->vcpu->regs[insn->reg]);
    case 3:
      fetch_operands (insn);
      return alu_to_register (insn, insn->reg, operation, read_rm (insn));
    case 5:
      return alu_to_register (insn, RAX, operation, fetch_signed (insn, 4));
    default:
      return false;
    }
}

/* Opcodes with a ModRM byte. */
static bool
execute_modrm (Insn *insn, unsigned opcode)
{
  uint64_t *regs = insn->vcpu->regs, ignored;
  fetch_operands (insn);
  switch (opcode)
    {
    case 0x81:
    case 0x83:
      return alu_to_rm (insn, insn->reg & 7, fetch_signed (insn, opcode == 0x81 ? 4 : 1));
    case 0x85:
      return alu (insn, ALU_AND, read_rm (insn), regs[insn->reg], &ignored);
    case 0x89:
      write_rm (insn, regs[insn->reg]);
      return true;
    case 0x8b:
      write_register (insn, insn->reg, read_rm (insn));
      return true;
    case 0x8d:
      write_register (insn, insn->reg, insn->address);
      return insn->memory;
    case 0xc1:
      return shift (insn, fetch (insn, 1));
    case 0xc7:
      write_rm (insn, fetch_signed (insn, 4));
      return (insn->reg & 7) == 0;
    case 0xd1:
      return shift (insn, 1);
    case 0xff:
      return (insn->reg & 7) < 2 && increment (insn, insn->reg & 1);
    default:
      return false;
    }
}

static bool
execute (Insn *insn, unsigned opcode)
{
  uint64_t *regs = insn->vcpu->regs;
  Bus *bus = insn->soft->config.bus;

  if (opcode < 0x40)
    return execute_alu (insn, opcode);
  if ((opcode & 0xf0) == 0x70)
    return jump (insn, 1, condition_holds (insn->vcpu, opcode & 15));
  if ((opcode & 0xf8) == 0xb8)
    {
      write_register (insn, (opcode & 7) | rex_bit (insn, REX_B), fetch (insn, insn->size));
      return true;
    }
  switch (opcode)
    {
    case 0x90:
      return true;
    case 0xe9:
      return jump (insn, 4, true);
    case 0xeb:
      return jump (insn, 1, true);
    case 0xec:
      regs[RAX] = (regs[RAX] & ~0xffULL) | bus_in (bus, (uint16_t) regs[RDX]);
      return true;
    case 0xee:
      bus_out (bus, (uint16_t) regs[RDX], (uint8_t) regs[RAX]);
      return true;
    default:
      return execute_modrm (insn, opcode);
    }
}

static bool
step (Soft *soft, SoftVcpu *vcpu, GError **error)
{
  const uint8_t *code = guest_ram_at (soft->config.ram, vcpu->rip, INSN_MAX);
  if (!code)
    return throw_error (error, "no code at %#" PRIx64, vcpu->rip);

  Insn insn = { .soft = soft, .vcpu = vcpu, .next = code };
  unsigned opcode = fetch (&insn, 1);
  if ((opcode & 0xf0) == 0x40)
    {
      insn.rex = opcode;
      opcode = fetch (&insn, 1);
    }
  insn.size = insn.rex & REX_W ? 8 : 4;
  if (!(opcode == 0x0f ? execute_0f (&insn) : execute (&insn, opcode)) || insn.unknown)
    return throw_error (error, "unknown instruction %02x %02x %02x %02x at %#" PRIx64, code[0], code[1], code[2],
                        code[3], vcpu->rip);
  if (insn.fault)
    return throw_error (error, "access to %#" PRIx64 ", which isn't RAM, at %#" PRIx64, insn.address, vcpu->rip);
  vcpu->rip += (uint64_t) (insn.next - code);
  return true;
}

static void
soft_free (void *data)
{
  Soft *soft = data;
  for (unsigned i = 0; i < soft->config.n_vcpus; i++)
    {
      char name[32];
      g_snprintf (name, sizeof name, "soft-vcpu/%u", i);
      cpr_device_remove (soft->config.session, name, NULL);
    }
  g_free (soft);
}

static void *
soft_new (const AccelConfig *config, GError **error)
{
  if (config->vfio)
    {
      throw_error (error, "--vfio: needs --accel kvm");
      return NULL;
    }
  Soft *soft = g_malloc0 (sizeof *soft + config->n_vcpus * sizeof *soft->vcpus);
  soft->config = *config;
  for (unsigned i = 0; i < config->n_vcpus; i++)
    {
      char name[32];
      g_snprintf (name, sizeof name, "soft-vcpu/%u", i);
      if (!cpr_device_add (config->session, name, &soft_vcpu_type, &soft->vcpus[i], error))
        {
          soft_free (soft);
          return NULL;
        }
    }
  return soft;
}

static bool
soft_reset (void *data, unsigned index, const GuestEntry *entry, GError **error)
{
  Soft *soft = data;
  SoftVcpu *vcpu = &soft->vcpus[index];
  vcpu->rip = entry->pc;
  vcpu->regs[RSP] = entry->sp;
  vcpu->regs[RDI] = entry->vcpu;
  vcpu->regs[RSI] = entry->n_vcpus;
  vcpu->regs[RDX] = entry->boot_info;
  vcpu->rflags = FLAG_ONE;
  vcpu->tsc_offset = -get_monotonic_ns ();
  return true;
}

static bool
soft_loaded (void *data, GError **error)
{
  return true;
}

static bool
soft_run (void *data, unsigned index, GError **error)
{
  Soft *soft = data;
  SoftVcpu *vcpu = &soft->vcpus[index];
  while (!__atomic_load_n (&vcpu->stop, __ATOMIC_RELAXED))
    if (!step (soft, vcpu, error))
      return false;
  return true;
}

static void
soft_set_stop (void *data, unsigned index, bool stop)
{
  Soft *soft = data;
  __atomic_store_n (&soft->vcpus[index].stop, stop, __ATOMIC_RELAXED);
}

static uint64_t
soft_get_counter_khz (void *data)
{
  return TSC_KHZ;
}

static const GuestKind *
soft_get_guests (void)
{
  return &guests_x86;
}

const Accel accel_soft = {
  .name = "soft",
  .get_guests = soft_get_guests,
  .new = soft_new,
  .reset = soft_reset,
  .loaded = soft_loaded,
  .run = soft_run,
  .set_stop = soft_set_stop,
  .get_counter_khz = soft_get_counter_khz,
  .free = soft_free,
};
