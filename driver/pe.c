// SPDX-License-Identifier: GPL-2.0
/* Exports what kapi/pe.rs defines, which only C macros can do. */

#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/stddef.h>

#include "include/fpgamem/pe.h"
#include "uapi/fpgamem.h"

/* As kapi/pe.rs and paddle/pe.rs assert of their own. */
static_assert(sizeof(struct fpgamem_pe_ops) == 16);
static_assert(offsetof(struct fpgamem_pe_ops, ioctl) == 8);
static_assert(sizeof(struct fpgamem_pe_place) == 32);
static_assert(offsetof(struct fpgamem_pe_place, flags) == 24);
static_assert(FPGAMEM_PE_WRITE_COMBINE == FPGAMEM_BUFFER_WRITE_COMBINE);
static_assert(FPGAMEM_PE_COHERENT == FPGAMEM_BUFFER_COHERENT);

EXPORT_SYMBOL_GPL(fpgamem_pe_register);
EXPORT_SYMBOL_GPL(fpgamem_pe_unregister);
EXPORT_SYMBOL_GPL(fpgamem_pe_translate);
EXPORT_SYMBOL_GPL(fpgamem_pe_sync);
EXPORT_SYMBOL_GPL(fpgamem_pe_hold);
EXPORT_SYMBOL_GPL(fpgamem_pe_hold_place);
EXPORT_SYMBOL_GPL(fpgamem_pe_hold_sync);
EXPORT_SYMBOL_GPL(fpgamem_pe_release);
