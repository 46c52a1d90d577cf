// SPDX-License-Identifier: GPL-2.0
/* The module's parameters, which only C macros can define. kapi/params.rs reads them. */

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/types.h>

extern unsigned long long fpgamem_user_limit_bytes;
unsigned long long fpgamem_user_limit_bytes;

module_param_named(user_limit_bytes, fpgamem_user_limit_bytes, ullong, 0644);
MODULE_PARM_DESC(user_limit_bytes,
		 "Most bytes that one user without CAP_SYS_RESOURCE may have in all pools; 0 for no limit (default)");
