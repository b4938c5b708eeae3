/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names of registers, for messages. Called by registers.c and host.c. */
#include "kvm/arm64/arm64.h"

#define CODE(op0, op1, crn, crm, op2) ((uint16_t) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2)))

static const struct
{
  uint16_t code;
  const char *name;
} system_names[] = {
  { CODE (2, 0, 0, 2, 0), "MDCCINT_EL1" },      { CODE (2, 0, 0, 2, 2), "MDSCR_EL1" },
  { CODE (2, 0, 1, 1, 4), "OSLSR_EL1" },        { CODE (2, 4, 0, 7, 0), "DBGVCR32_EL2" },
  { CODE (3, 0, 0, 0, 0), "MIDR_EL1" },         { CODE (3, 0, 0, 0, 5), "MPIDR_EL1" },
  { CODE (3, 0, 0, 0, 6), "REVIDR_EL1" },       { CODE (3, 0, 0, 1, 0), "ID_PFR0_EL1" },
  { CODE (3, 0, 0, 1, 1), "ID_PFR1_EL1" },      { CODE (3, 0, 0, 1, 2), "ID_DFR0_EL1" },
  { CODE (3, 0, 0, 1, 4), "ID_MMFR0_EL1" },     { CODE (3, 0, 0, 1, 5), "ID_MMFR1_EL1" },
  { CODE (3, 0, 0, 1, 6), "ID_MMFR2_EL1" },     { CODE (3, 0, 0, 1, 7), "ID_MMFR3_EL1" },
  { CODE (3, 0, 0, 2, 0), "ID_ISAR0_EL1" },     { CODE (3, 0, 0, 2, 1), "ID_ISAR1_EL1" },
  { CODE (3, 0, 0, 2, 2), "ID_ISAR2_EL1" },     { CODE (3, 0, 0, 2, 3), "ID_ISAR3_EL1" },
  { CODE (3, 0, 0, 2, 4), "ID_ISAR4_EL1" },     { CODE (3, 0, 0, 2, 5), "ID_ISAR5_EL1" },
  { CODE (3, 0, 0, 2, 6), "ID_MMFR4_EL1" },     { CODE (3, 0, 0, 2, 7), "ID_ISAR6_EL1" },
  { CODE (3, 0, 0, 3, 0), "MVFR0_EL1" },        { CODE (3, 0, 0, 3, 1), "MVFR1_EL1" },
  { CODE (3, 0, 0, 3, 2), "MVFR2_EL1" },        { CODE (3, 0, 0, 3, 4), "ID_PFR2_EL1" },
  { CODE (3, 0, 0, 3, 6), "ID_MMFR5_EL1" },     { CODE (3, 0, 0, 4, 0), "ID_AA64PFR0_EL1" },
  { CODE (3, 0, 0, 4, 1), "ID_AA64PFR1_EL1" },  { CODE (3, 0, 0, 4, 2), "ID_AA64PFR2_EL1" },
  { CODE (3, 0, 0, 4, 4), "ID_AA64ZFR0_EL1" },  { CODE (3, 0, 0, 4, 5), "ID_AA64SMFR0_EL1" },
  { CODE (3, 0, 0, 4, 7), "ID_AA64FPFR0_EL1" }, { CODE (3, 0, 0, 5, 0), "ID_AA64DFR0_EL1" },
  { CODE (3, 0, 0, 5, 1), "ID_AA64DFR1_EL1" },  { CODE (3, 0, 0, 6, 0), "ID_AA64ISAR0_EL1" },
  { CODE (3, 0, 0, 6, 1), "ID_AA64ISAR1_EL1" }, { CODE (3, 0, 0, 6, 2), "ID_AA64ISAR2_EL1" },
  { CODE (3, 0, 0, 6, 3), "ID_AA64ISAR3_EL1" }, { CODE (3, 0, 0, 7, 0), "ID_AA64MMFR0_EL1" },
  { CODE (3, 0, 0, 7, 1), "ID_AA64MMFR1_EL1" }, { CODE (3, 0, 0, 7, 2), "ID_AA64MMFR2_EL1" },
  { CODE (3, 0, 0, 7, 3), "ID_AA64MMFR3_EL1" }, { CODE (3, 0, 0, 7, 4), "ID_AA64MMFR4_EL1" },
  { CODE (3, 0, 1, 0, 0), "SCTLR_EL1" },        { CODE (3, 0, 1, 0, 1), "ACTLR_EL1" },
  { CODE (3, 0, 1, 0, 2), "CPACR_EL1" },        { CODE (3, 0, 1, 0, 5), "RGSR_EL1" },
  { CODE (3, 0, 1, 0, 6), "GCR_EL1" },          { CODE (3, 0, 1, 2, 0), "ZCR_EL1" },
  { CODE (3, 0, 2, 0, 0), "TTBR0_EL1" },        { CODE (3, 0, 2, 0, 1), "TTBR1_EL1" },
  { CODE (3, 0, 2, 0, 2), "TCR_EL1" },          { CODE (3, 0, 2, 0, 3), "TCR2_EL1" },
  { CODE (3, 0, 2, 1, 0), "APIAKEYLO_EL1" },    { CODE (3, 0, 2, 1, 1), "APIAKEYHI_EL1" },
  { CODE (3, 0, 2, 1, 2), "APIBKEYLO_EL1" },    { CODE (3, 0, 2, 1, 3), "APIBKEYHI_EL1" },
  { CODE (3, 0, 2, 2, 0), "APDAKEYLO_EL1" },    { CODE (3, 0, 2, 2, 1), "APDAKEYHI_EL1" },
  { CODE (3, 0, 2, 2, 2), "APDBKEYLO_EL1" },    { CODE (3, 0, 2, 2, 3), "APDBKEYHI_EL1" },
  { CODE (3, 0, 2, 3, 0), "APGAKEYLO_EL1" },    { CODE (3, 0, 2, 3, 1), "APGAKEYHI_EL1" },
  { CODE (3, 0, 5, 1, 0), "AFSR0_EL1" },        { CODE (3, 0, 5, 1, 1), "AFSR1_EL1" },
  { CODE (3, 0, 5, 2, 0), "ESR_EL1" },          { CODE (3, 0, 5, 6, 0), "TFSR_EL1" },
  { CODE (3, 0, 5, 6, 1), "TFSRE0_EL1" },       { CODE (3, 0, 6, 0, 0), "FAR_EL1" },
  { CODE (3, 0, 7, 4, 0), "PAR_EL1" },          { CODE (3, 0, 9, 14, 1), "PMINTENSET_EL1" },
  { CODE (3, 0, 9, 14, 2), "PMINTENCLR_EL1" },  { CODE (3, 0, 10, 2, 0), "MAIR_EL1" },
  { CODE (3, 0, 10, 2, 2), "PIRE0_EL1" },       { CODE (3, 0, 10, 2, 3), "PIR_EL1" },
  { CODE (3, 0, 10, 3, 0), "AMAIR_EL1" },       { CODE (3, 0, 12, 0, 0), "VBAR_EL1" },
  { CODE (3, 0, 12, 1, 1), "DISR_EL1" },        { CODE (3, 0, 13, 0, 1), "CONTEXTIDR_EL1" },
  { CODE (3, 0, 13, 0, 4), "TPIDR_EL1" },       { CODE (3, 0, 14, 1, 0), "CNTKCTL_EL1" },
  { CODE (3, 1, 0, 0, 1), "CLIDR_EL1" },        { CODE (3, 1, 0, 0, 7), "AIDR_EL1" },
  { CODE (3, 2, 0, 0, 0), "CSSELR_EL1" },       { CODE (3, 3, 0, 0, 1), "CTR_EL0" },
  { CODE (3, 3, 9, 12, 0), "PMCR_EL0" },        { CODE (3, 3, 9, 12, 1), "PMCNTENSET_EL0" },
  { CODE (3, 3, 9, 12, 2), "PMCNTENCLR_EL0" },  { CODE (3, 3, 9, 12, 3), "PMOVSCLR_EL0" },
  { CODE (3, 3, 9, 12, 5), "PMSELR_EL0" },      { CODE (3, 3, 9, 13, 0), "PMCCNTR_EL0" },
  { CODE (3, 3, 9, 14, 0), "PMUSERENR_EL0" },   { CODE (3, 3, 9, 14, 3), "PMOVSSET_EL0" },
  { CODE (3, 3, 10, 2, 4), "POR_EL0" },         { CODE (3, 3, 13, 0, 2), "TPIDR_EL0" },
  { CODE (3, 3, 13, 0, 3), "TPIDRRO_EL0" },     { CODE (3, 3, 14, 0, 1), "CNTPCT_EL0" },
  { CODE (3, 3, 14, 0, 2), "CNTV_CVAL_EL0" }, /* KVM has these two the wrong way round */
  { CODE (3, 3, 14, 2, 1), "CNTP_CTL_EL0" },    { CODE (3, 3, 14, 2, 2), "CNTP_CVAL_EL0" },
  { CODE (3, 3, 14, 3, 1), "CNTV_CTL_EL0" },    { CODE (3, 3, 14, 3, 2), "CNTVCT_EL0" },
  { CODE (3, 3, 14, 15, 7), "PMCCFILTR_EL0" },  { CODE (3, 4, 1, 1, 0), "HCR_EL2" },
  { CODE (3, 4, 3, 0, 0), "DACR32_EL2" },       { CODE (3, 4, 5, 0, 1), "IFSR32_EL2" },
  { CODE (3, 4, 5, 3, 0), "FPEXC32_EL2" },
};

/* One of a row of registers: DBGBVR and its like, and PMEVCNTR, whose number is in two parts. */
static char *
name_of_row (uint16_t code)
{
  static const char *const debug[] = { "DBGBVR", "DBGBCR", "DBGWVR", "DBGWCR" };
  unsigned crm = code >> 3 & 0xf, op2 = code & 7, n = (crm & 3) << 3 | op2;

  if ((code & ~CODE (0, 0, 0, 0xf, 7)) == CODE (2, 0, 0, 0, 0) && op2 >= 4)
    return g_strdup_printf ("%s%u_EL1", debug[op2 - 4], crm);
  if ((code & ~CODE (0, 0, 0, 0xf, 7)) == CODE (3, 3, 14, 0, 0) && crm >= 8)
    return g_strdup_printf (crm < 12 ? "PMEVCNTR%u_EL0" : "PMEVTYPER%u_EL0", n);
  return NULL;
}

static char *
name_of_system (uint64_t id)
{
  uint16_t code = (uint16_t) id;
  g_autofree char *row = name_of_row (code), *number = NULL;

  number =
      g_strdup_printf ("S%u_%u_C%u_C%u_%u", code >> 14 & 3, code >> 11 & 7, code >> 7 & 0xf, code >> 3 & 0xf, code & 7);
  for (size_t i = 0; i < G_N_ELEMENTS (system_names) && row == NULL; i++)
    if (system_names[i].code == code)
      row = g_strdup (system_names[i].name);
  return row != NULL ? g_strdup_printf ("%s (%s)", row, number) : g_steal_pointer (&number);
}

static char *
name_of_core (uint64_t id)
{
  static const char *const others[] = { "sp", "pc", "pstate", "sp_el1", "elr_el1" };
  static const char *const spsr[KVM_NR_SPSR] = { "spsr_el1", "spsr_abt", "spsr_und", "spsr_irq", "spsr_fiq" };
  uint32_t at = (uint32_t) (id & 0xffff);

  if (at < KVM_REG_ARM_CORE_REG (regs.sp))
    return g_strdup_printf ("x%u", at / 2);
  if (at < KVM_REG_ARM_CORE_REG (spsr[0]))
    return g_strdup (others[(at - KVM_REG_ARM_CORE_REG (regs.sp)) / 2]);
  if (at < KVM_REG_ARM_CORE_REG (spsr[0]) + 2 * KVM_NR_SPSR)
    return g_strdup (spsr[(at - KVM_REG_ARM_CORE_REG (spsr[0])) / 2]);
  if (at >= KVM_REG_ARM_CORE_REG (fp_regs.fpcr))
    return g_strdup ("fpcr");
  if (at >= KVM_REG_ARM_CORE_REG (fp_regs.fpsr))
    return g_strdup ("fpsr");
  return g_strdup_printf ("v%u", (unsigned) ((at - KVM_REG_ARM_CORE_REG (fp_regs.vregs[0])) / 4));
}

static char *
name_of_sve (uint64_t id)
{
  unsigned n = id >> 5 & 0x1f, slice = id & 0x1f;
  uint64_t without_size = id & ~(uint64_t) KVM_REG_SIZE_MASK;

  if (id == KVM_REG_ARM64_SVE_VLS)
    return g_strdup ("KVM_REG_ARM64_SVE_VLS (the vector lengths of SVE)");
  if (without_size >= (KVM_REG_ARM64_SVE_FFR (0) & ~(uint64_t) KVM_REG_SIZE_MASK))
    return g_strdup (slice == 0 ? "ffr" : "ffr, a later slice");
  return g_strdup_printf (
      "%c%u", without_size >= (KVM_REG_ARM64_SVE_PREG (0, 0) & ~(uint64_t) KVM_REG_SIZE_MASK) ? 'p' : 'z', n);
}

static char *
name_of_firmware (uint64_t id)
{
  static const char *const registers[] = { "PSCI_VERSION", "SMCCC_ARCH_WORKAROUND_1", "SMCCC_ARCH_WORKAROUND_2",
                                           "SMCCC_ARCH_WORKAROUND_3" };
  static const char *const bitmaps[] = { "STD_BMAP", "STD_HYP_BMAP", "VENDOR_HYP_BMAP", "VENDOR_HYP_BMAP_2" };
  bool is_bitmap = (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_FW_FEAT_BMAP;
  unsigned n = (unsigned) (id & 0xffff);

  if (n < (is_bitmap ? G_N_ELEMENTS (bitmaps) : G_N_ELEMENTS (registers)))
    return g_strdup_printf ("KVM_REG_ARM_%s", is_bitmap ? bitmaps[n] : registers[n]);
  return g_strdup_printf ("%s %u of KVM's firmware", is_bitmap ? "bitmap" : "register", n);
}

char *
cpr_kvm_register_get_name (uint64_t id)
{
  switch (id & KVM_REG_ARM_COPROC_MASK)
    {
    case KVM_REG_ARM_CORE:
      return name_of_core (id);
    case KVM_REG_ARM_DEMUX:
      return g_strdup_printf ("CCSIDR_EL1 for CSSELR_EL1 %u", (unsigned) (id & KVM_REG_ARM_DEMUX_VAL_MASK));
    case KVM_REG_ARM64_SYSREG:
      return name_of_system (id);
    case KVM_REG_ARM64_SVE:
      return name_of_sve (id);
    case KVM_REG_ARM_FW:
    case KVM_REG_ARM_FW_FEAT_BMAP:
      return name_of_firmware (id);
    default:
      return g_strdup_printf ("0x%" G_GINT64_MODIFIER "x", id);
    }
}

char *
cpr_kvm_register_format (const void *value, uint32_t size)
{
  const uint8_t *bytes = value;
  GString *text = g_string_new ("0x");
  uint32_t at = size;

  while (at > 1 && bytes[at - 1] == 0)
    at--;
  if (at > 0)
    g_string_append_printf (text, "%x", bytes[--at]);
  while (at > 0)
    g_string_append_printf (text, "%02x", bytes[--at]);
  return g_string_free (text, FALSE);
}
