/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface for drivers of accelerators that serve Paddle-Lite's clients.
 *
 * /dev/fpgadrvN of a pool answers what concerns memory. Every other command of its clients, such as
 * those that configure a computation (PE commands), goes to the driver that has registered for the
 * pool; without one it fails with ENOTTY. Such commands carry user addresses, which only fpgamem can
 * translate, so the driver gets a handle of the call to ask with.
 *
 * A command belongs to the accelerator if fpgamem does not know it and its type (bits 15 to 8) is 'G',
 * or 'A' as with clients whose magic number overflows its field.
 *
 * All functions may sleep. They are exported to GPL modules; a module that uses them keeps fpgamem
 * loaded.
 *
 * Life times
 * ----------
 * A call is valid until the callback returns, in the task that made it. An address that was
 * translated is valid as long as the caller keeps the memory mapped, which another thread of it
 * may end at any time. What a device accesses must therefore be held: the blocks of a buffer that
 * is held go to nobody else, whether the caller unmaps them, closes the node, is killed or the pool is
 * unbound. A hold may outlive the call, and the registration. It keeps fpgamem loaded too.
 *
 * Errors
 * ------
 * What fails returns a negative errno, or ERR_PTR() of it where the result is a pointer.
 *
 *  function                 errno   when
 *  fpgamem_pe_register      EINVAL  pool, ops or ops->ioctl is NULL
 *                           ENODEV  pool is no node with the property fpgamem,paddle
 *                           EBUSY   a driver has registered for the pool already
 *                           ENOMEM  no kernel memory
 *  fpgamem_pe_translate     EINVAL  a pointer is NULL, len is 0
 *  fpgamem_pe_sync          EINVAL  call is NULL, len is 0, operation is 0 or has unknown bits
 *  fpgamem_pe_hold          EINVAL  call is NULL, len is 0
 *                           ENOMEM  no kernel memory
 *  these three              EFAULT  the range is not wholly in one buffer of the pool, mapped by the
 *                                   caller without a gap, or another process asks
 *  fpgamem_pe_hold_sync     EINVAL  hold is NULL, len is 0, operation is 0 or has unknown bits
 *                           EFAULT  the range leaves what is held
 */
#ifndef _FPGAMEM_PE_H
#define _FPGAMEM_PE_H

#include <linux/compiler_types.h>
#include <linux/types.h>

struct fwnode_handle;
struct module;

/* A registration, a call that is being carried out, memory that is held: all of them opaque. */
struct fpgamem_pe;
struct fpgamem_pe_call;
struct fpgamem_pe_hold;

/**
 * struct fpgamem_pe_ops - What a driver of an accelerator offers.
 * @owner: THIS_MODULE. It cannot be unloaded during a call.
 * @ioctl: Carries out a command, in the task of the caller and without a lock, several at a time.
 *	@context is what was registered; @arg is the argument as user space passed it. Returns 0 or a
 *	negative errno, -ENOTTY for a command that it does not know. Clients exit if they find EINVAL
 *	or ENOMEM in errno later, and take results above 0 for failures: they get EIO for all of these.
 */
struct fpgamem_pe_ops {
	struct module *owner;
	int (*ioctl)(void *context, struct fpgamem_pe_call *call, unsigned int command,
		     void __user *arg);
};

/* Bits of fpgamem_pe_place.flags, as FPGAMEM_BUFFER_* of the native node. */
#define FPGAMEM_PE_WRITE_COMBINE	0x1	/* the CPU's mappings bypass the caches */
#define FPGAMEM_PE_COHERENT		0x2	/* the accelerator's port snoops the caches */

/**
 * struct fpgamem_pe_place - Where memory is.
 * @phys_addr: Physical address, as the CPU puts it on the bus.
 * @device_addr: Address as the accelerator puts it on the bus.
 * @bytes: Contiguous bytes from there on: as far as the caller maps them, or as many as are held.
 * @flags: FPGAMEM_PE_* bits.
 * @reserved: 0.
 */
struct fpgamem_pe_place {
	u64 phys_addr;
	u64 device_addr;
	u64 bytes;
	u32 flags;
	u32 reserved;
};

/*
 * What to do with the cache lines of a range. To invalidate writes dirty lines back first, so it
 * never loses what the CPU wrote; both together are the same. Memory that needs none gets a barrier.
 */
#define FPGAMEM_PE_CLEAN	0x1
#define FPGAMEM_PE_INVALIDATE	0x2

/**
 * fpgamem_pe_register() - Take on the commands of a pool's clients.
 * @pool: The device-tree node of the pool. It need not be bound yet, and may be bound again.
 * @ops: Copied.
 * @context: Passed to the callback.
 *
 * Calls may come before this returns.
 */
struct fpgamem_pe *fpgamem_pe_register(struct fwnode_handle *pool,
				       const struct fpgamem_pe_ops *ops, void *context);

/**
 * fpgamem_pe_unregister() - Give the commands back, and wait until no call is being carried out.
 * @pe: The registration; nothing is done for NULL and ERR_PTR().
 *
 * Not from within the callback, which it would wait for.
 */
void fpgamem_pe_unregister(struct fpgamem_pe *pe);

/**
 * fpgamem_pe_translate() - Find out where memory of the caller is.
 * @call: The call.
 * @user_addr: Address in the caller's memory, also in the middle of a buffer.
 * @len: Bytes that must be there.
 * @place: Where the answer goes.
 */
int fpgamem_pe_translate(struct fpgamem_pe_call *call, u64 user_addr, u64 len,
			 struct fpgamem_pe_place *place);

/**
 * fpgamem_pe_sync() - Maintain every cache line that a range of the caller's memory touches.
 * @call: The call.
 * @user_addr: Address in the caller's memory, also in the middle of a buffer.
 * @len: Bytes.
 * @operation: FPGAMEM_PE_CLEAN, FPGAMEM_PE_INVALIDATE or both.
 */
int fpgamem_pe_sync(struct fpgamem_pe_call *call, u64 user_addr, u64 len,
		    unsigned int operation);

/**
 * fpgamem_pe_hold() - Keep the buffer behind a range of the caller's memory.
 * @call: The call.
 * @user_addr: Address in the caller's memory, also in the middle of a buffer.
 * @len: Bytes.
 */
struct fpgamem_pe_hold *fpgamem_pe_hold(struct fpgamem_pe_call *call, u64 user_addr, u64 len);

/**
 * fpgamem_pe_hold_place() - Where memory that is held is.
 * @hold: What fpgamem_pe_hold() returned.
 * @place: Where the answer goes.
 */
void fpgamem_pe_hold_place(const struct fpgamem_pe_hold *hold, struct fpgamem_pe_place *place);

/**
 * fpgamem_pe_hold_sync() - Maintain cache lines of memory that is held, in any task.
 * @hold: What fpgamem_pe_hold() returned.
 * @offset: Bytes from the beginning of what is held.
 * @len: Bytes.
 * @operation: FPGAMEM_PE_CLEAN, FPGAMEM_PE_INVALIDATE or both.
 */
int fpgamem_pe_hold_sync(const struct fpgamem_pe_hold *hold, u64 offset, u64 len,
			 unsigned int operation);

/**
 * fpgamem_pe_release() - The device has finished with what is held.
 * @hold: What fpgamem_pe_hold() returned; nothing is done for NULL and ERR_PTR().
 *
 * If nothing else refers to the buffer, its blocks are free then. A kernel thread that releases the
 * last reference counts as one that cleans up after a crash: the blocks are quarantined first.
 */
void fpgamem_pe_release(struct fpgamem_pe_hold *hold);

#endif /* _FPGAMEM_PE_H */
