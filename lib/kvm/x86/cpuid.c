/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The features of a guest's CPU that KVM has to back. KVM takes any CPUID, also one with features
 * that it hasn't got, so nothing but this notices a lack of them. Called by vcpu.c and vm.c, and by
 * kvm/needs for a preflight. */
#include <string.h>

#include "kvm/x86/x86.h"

#define N_REGISTERS 4

static const char *const names[N_REGISTERS] = { "eax", "ebx", "ecx", "edx" };

enum
{
  EAX = 1u << 0,
  EBX = 1u << 1,
  ECX = 1u << 2,
  EDX = 1u << 3
};

/* The registers in which each bit is a feature. */
static const struct
{
  uint32_t function, index;
  unsigned registers;
} features[] = {
  { 0x1, 0, ECX | EDX },
  { 0x7, 0, EBX | ECX | EDX },
  { 0x7, 1, EAX | EBX | ECX | EDX },
  { 0x7, 2, EDX },
  { 0xd, 0, EAX | EDX }, /* the components of XSAVE */
  { 0xd, 1, EAX | ECX | EDX },
  { 0x12, 0, EAX },
  { 0x14, 0, EBX | ECX },
  { 0x1e, 1, EAX },
  { 0x40000001, 0, EAX },
  { 0x80000001, 0, ECX | EDX },
  { 0x80000007, 0, EDX },
  { 0x80000008, 0, EBX },
  { 0x8000000a, 0, EDX },
  { 0x8000001f, 0, EAX },
  { 0x80000021, 0, EAX },
  { 0xc0000001, 0, EDX },
};

#define XTILE (3u << 17) /* of leaf 0xd, eax */

bool
cpr_kvm_cpuid_get_offered (int kvm_fd, CprKvmCpuid *offered, GError **error)
{
  offered->count = CPR_KVM_CPUID_MAX;
  return cpr_sys->ioctl (kvm_fd, KVM_GET_SUPPORTED_CPUID, offered) >= 0 ||
         cpr_throw_errno (error, errno, "KVM_GET_SUPPORTED_CPUID");
}

static const struct kvm_cpuid_entry2 *
find (const CprKvmCpuid *cpuid, uint32_t function, uint32_t index)
{
  for (uint32_t i = 0; i < cpuid->count; i++)
    {
      const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

      if (entry->function == function &&
          (entry->index == index || (entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0))
        return entry;
    }
  return NULL;
}

static void
get_registers (const struct kvm_cpuid_entry2 *entry, uint32_t registers[N_REGISTERS])
{
  memset (registers, 0, N_REGISTERS * sizeof registers[0]);
  if (entry != NULL)
    memcpy (registers, (uint32_t[]){ entry->eax, entry->ebx, entry->ecx, entry->edx },
            N_REGISTERS * sizeof registers[0]);
}

void
cpr_kvm_cpuid_note_backed (CprKvmVcpu *vcpu, const CprKvmCpuid *offered)
{
  CprKvmCpuid *backed = &vcpu->backed;

  backed->count = 0;
  for (size_t i = 0; i < G_N_ELEMENTS (features); i++)
    {
      uint32_t has[N_REGISTERS], can[N_REGISTERS];

      get_registers (find (&vcpu->cpuid, features[i].function, features[i].index), has);
      get_registers (find (offered, features[i].function, features[i].index), can);
      for (unsigned k = 0; k < N_REGISTERS; k++)
        has[k] &= (features[i].registers >> k & 1) != 0 ? can[k] : 0;
      if ((has[0] | has[1] | has[2] | has[3]) != 0)
        backed->entries[backed->count++] = (struct kvm_cpuid_entry2){ .function = features[i].function,
                                                                      .index = features[i].index,
                                                                      .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                                                      .eax = has[0],
                                                                      .ebx = has[1],
                                                                      .ecx = has[2],
                                                                      .edx = has[3] };
    }
}

/* "bit 5", "bits 5, 16". */
static char *
list_bits (uint32_t bits)
{
  GString *list = g_string_new ((bits & (bits - 1)) == 0 ? "bit" : "bits");
  const char *separator = " ";

  for (unsigned bit = 0; bit < 32; bit++)
    if ((bits >> bit & 1) != 0)
      {
        g_string_append_printf (list, "%s%u", separator, bit);
        separator = ", ";
      }
  return g_string_free (list, FALSE);
}

static char *
describe_lack (const struct kvm_cpuid_entry2 *entry, unsigned which, uint32_t bits)
{
  g_autofree char *list = list_bits (bits);
  bool is_amx = entry->function == 0xd && entry->index == 0 && which == 0 && (bits & XTILE) != 0;

  return g_strdup_printf ("CPUID leaf 0x%x, index %u, %s: the guest has %s, and KVM doesn't offer that here%s",
                          entry->function, entry->index, names[which], list,
                          is_amx ? " (AMX: has the program asked for ARCH_REQ_XCOMP_GUEST_PERM?)" : "");
}

void
cpr_kvm_cpuid_find_lacks (const CprKvmCpuid *backed, const CprKvmCpuid *offered, CprKvmLackFunc func, void *user_data)
{
  for (uint32_t i = 0; i < backed->count; i++)
    {
      const struct kvm_cpuid_entry2 *entry = &backed->entries[i];
      uint32_t has[N_REGISTERS], can[N_REGISTERS];

      get_registers (entry, has);
      get_registers (find (offered, entry->function, entry->index), can);
      for (unsigned k = 0; k < N_REGISTERS; k++)
        if ((has[k] & ~can[k]) != 0)
          {
            g_autofree char *lack = describe_lack (entry, k, has[k] & ~can[k]);

            func (lack, user_data);
          }
    }
}

static void
take_first (const char *lack, void *user_data)
{
  char **first = user_data;

  if (*first == NULL)
    *first = g_strdup (lack);
}

bool
cpr_kvm_cpuid_check (const CprKvmVcpu *vcpu, GError **error)
{
  g_autofree CprKvmCpuid *offered = g_new0 (CprKvmCpuid, 1);
  g_autofree char *lack = NULL;

  if (!cpr_kvm_cpuid_get_offered (vcpu->vm->kvm_fd, offered, error))
    {
      g_prefix_error (error, "KVM VM '%s': vCPU %u: ", vcpu->vm->name, vcpu->index);
      return false;
    }
  cpr_kvm_cpuid_find_lacks (&vcpu->backed, offered, take_first, &lack);
  return lack == NULL ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "KVM VM '%s': vCPU %u: %s", vcpu->vm->name, vcpu->index, lack);
}
