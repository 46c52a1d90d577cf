// SPDX-License-Identifier: GPL-2.0
/*
 * An accelerator's driver that does what a test tells it: by commands of the Paddle node, which
 * arrive as calls of a client, and by the same structure on a node of its own.
 */

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/property.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <fpgamem/pe.h>

/* What goes wrong where a test hangs must not hang for ever. */
#define PATIENCE (20 * HZ)

struct probe {
	u64 addr;
	u64 len;
	/* Of a sync, or the number of a slot, or what else the command says. */
	u64 operation;
	/* Of the function that was called, which the core would change on its way. */
	s64 result;
	struct fpgamem_pe_place place;
};
static_assert(sizeof(struct probe) == 64);

/* As the accelerator's driver. */
#define CALL_TRANSLATE	_IOWR('G', 0xf0, struct probe)
#define CALL_SYNC	_IOWR('G', 0xf1, struct probe)
#define CALL_HOLD	_IOWR('G', 0xf2, struct probe)
#define CALL_WAIT	_IOWR('G', 0xf3, struct probe)	/* until PROBE_GO */
#define CALL_RETURN	_IOWR('G', 0xf4, struct probe)	/* addr as a result */
#define CALL_AS_OTHER	_IOWR('G', 0xf5, struct probe)	/* translate for the call that waits */
#define CALL_NULL	_IOWR('G', 0xf6, struct probe)	/* translate to nowhere */
#define CALL_OLD	_IOWR('A', 0xf4, struct probe)

/* As a module. */
#define PROBE_REGISTER	_IOWR('P', 0x01, struct probe)	/* as enum refused says */
#define PROBE_UNREGISTER _IOWR('P', 0x02, struct probe)
#define PROBE_ARRIVED	_IOWR('P', 0x03, struct probe)	/* waits for a CALL_WAIT */
#define PROBE_GO	_IOWR('P', 0x04, struct probe)
#define PROBE_PLACE	_IOWR('P', 0x05, struct probe)	/* of a hold */
#define PROBE_SYNC	_IOWR('P', 0x06, struct probe)
#define PROBE_RELEASE	_IOWR('P', 0x07, struct probe)
#define PROBE_RELEASE_BY_THREAD _IOWR('P', 0x08, struct probe)
#define PROBE_FORGET	_IOWR('P', 0x09, struct probe)	/* a hold, whose pointer addr gets */
#define PROBE_ADOPT	_IOWR('P', 0x0a, struct probe)	/* such a hold */

enum refused {
	NOTHING,
	NO_POOL,
	NO_OPS,
	NO_IOCTL,
	OTHER_NODE,
};

static struct fpgamem_pe *registration;
static struct fpgamem_pe_hold *holds[16];

/* The context that is registered; anything else is another one's. */
static int context;
static atomic_t running = ATOMIC_INIT(0);
static bool registered;
static atomic_t late = ATOMIC_INIT(0);

static struct fpgamem_pe_call *waiting;
static DECLARE_COMPLETION(arrived);
static DECLARE_COMPLETION(go);

static int put_hold(struct fpgamem_pe_hold *hold, u64 slot)
{
	if (IS_ERR(hold))
		return PTR_ERR(hold);
	if (slot < ARRAY_SIZE(holds) && !cmpxchg(&holds[slot], NULL, hold))
		return 0;
	fpgamem_pe_release(hold);
	return -EEXIST;
}

static struct fpgamem_pe_hold *take_hold(u64 slot)
{
	return slot < ARRAY_SIZE(holds) ? xchg(&holds[slot], NULL) : NULL;
}

static int wait_for_go(struct fpgamem_pe_call *call)
{
	unsigned long left;

	waiting = call;
	complete(&arrived);
	left = wait_for_completion_timeout(&go, PATIENCE);
	waiting = NULL;
	return left ? 0 : -ETIMEDOUT;
}

static int carry_out(struct fpgamem_pe_call *call, unsigned int command, struct probe *probe)
{
	switch (command) {
	case CALL_TRANSLATE:
		probe->result = fpgamem_pe_translate(call, probe->addr, probe->len, &probe->place);
		return 0;
	case CALL_SYNC:
		probe->result = fpgamem_pe_sync(call, probe->addr, probe->len, probe->operation);
		return 0;
	case CALL_HOLD:
		probe->result = put_hold(fpgamem_pe_hold(call, probe->addr, probe->len),
					 probe->operation);
		return 0;
	case CALL_WAIT:
		return wait_for_go(call);
	case CALL_RETURN:
	case CALL_OLD:
		return (int)probe->addr;
	case CALL_AS_OTHER:
		probe->result = fpgamem_pe_translate(waiting, probe->addr, probe->len,
						     &probe->place);
		return 0;
	case CALL_NULL:
		probe->result = fpgamem_pe_translate(call, probe->addr, probe->len, NULL);
		return 0;
	default:
		/* Nobody else says so: what should not have come is told from what did not. */
		return -EPROTO;
	}
}

static int probe_call(void *data, struct fpgamem_pe_call *call, unsigned int command,
		      void __user *arg)
{
	struct probe probe;
	int ret = -EFAULT;

	atomic_inc(&running);
	if (data != &context || !READ_ONCE(registered))
		atomic_inc(&late);
	if (!copy_from_user(&probe, arg, sizeof(probe))) {
		ret = carry_out(call, command, &probe);
		if (!ret && copy_to_user(arg, &probe, sizeof(probe)))
			ret = -EFAULT;
	}
	atomic_dec(&running);
	return ret;
}

static const struct fpgamem_pe_ops probe_ops = {
	.owner = THIS_MODULE,
	.ioctl = probe_call,
};

static const struct fpgamem_pe_ops ops_without_ioctl = {
	.owner = THIS_MODULE,
};

static int probe_register(enum refused refused)
{
	const struct fpgamem_pe_ops *ops = &probe_ops;
	struct device_node *pool;
	struct fpgamem_pe *new;

	pool = refused == OTHER_NODE ? of_find_node_by_path("/") :
				       of_find_node_with_property(NULL, "fpgamem,paddle");
	if (refused == NO_OPS)
		ops = NULL;
	if (refused == NO_IOCTL)
		ops = &ops_without_ioctl;
	WRITE_ONCE(registered, true);
	new = fpgamem_pe_register(refused == NO_POOL ? NULL : of_fwnode_handle(pool), ops,
				  &context);
	of_node_put(pool);
	if (!IS_ERR(new)) {
		registration = new;
		return 0;
	}
	WRITE_ONCE(registered, !!registration);
	return PTR_ERR(new);
}

/* Fails if a call is still carried out after it, or one began too late. */
static int probe_unregister(void)
{
	struct fpgamem_pe *old = xchg(&registration, NULL);

	fpgamem_pe_unregister(old);
	WRITE_ONCE(registered, false);
	return atomic_read(&running) || atomic_read(&late) ? -EBUSY : 0;
}

struct late_release {
	struct work_struct work;
	struct fpgamem_pe_hold *hold;
};

static void release_late(struct work_struct *work)
{
	fpgamem_pe_release(container_of(work, struct late_release, work)->hold);
}

static int release_by_thread(struct fpgamem_pe_hold *hold)
{
	struct late_release release = { .hold = hold };

	INIT_WORK_ONSTACK(&release.work, release_late);
	schedule_work(&release.work);
	flush_work(&release.work);
	destroy_work_on_stack(&release.work);
	return 0;
}

static int obey(unsigned int command, struct probe *probe)
{
	struct fpgamem_pe_hold *hold;

	switch (command) {
	case PROBE_REGISTER:
		return probe_register(probe->operation);
	case PROBE_UNREGISTER:
		return probe_unregister();
	case PROBE_ARRIVED:
		return wait_for_completion_timeout(&arrived, PATIENCE) ? 0 : -ETIMEDOUT;
	case PROBE_GO:
		complete(&go);
		return 0;
	case PROBE_PLACE:
		hold = probe->operation < ARRAY_SIZE(holds) ? holds[probe->operation] : NULL;
		if (!hold)
			return -ENOENT;
		fpgamem_pe_hold_place(hold, &probe->place);
		return 0;
	case PROBE_SYNC:
		/* Of slot 0, or of none. */
		return fpgamem_pe_hold_sync(holds[0], probe->addr, probe->len, probe->operation);
	case PROBE_RELEASE:
		fpgamem_pe_release(take_hold(probe->operation));
		return 0;
	case PROBE_RELEASE_BY_THREAD:
		return release_by_thread(take_hold(probe->operation));
	case PROBE_FORGET:
		probe->addr = (uintptr_t)take_hold(probe->operation);
		return 0;
	case PROBE_ADOPT:
		return put_hold((struct fpgamem_pe_hold *)(uintptr_t)probe->addr,
				probe->operation);
	default:
		return -ENOTTY;
	}
}

static long probe_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	void __user *pointer = (void __user *)arg;
	struct probe probe;
	int ret;

	if (copy_from_user(&probe, pointer, sizeof(probe)))
		return -EFAULT;
	ret = obey(command, &probe);
	if (!ret && copy_to_user(pointer, &probe, sizeof(probe)))
		ret = -EFAULT;
	return ret;
}

static const struct file_operations probe_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = probe_ioctl,
};

static struct miscdevice probe_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "fpgamem-pe-probe",
	.fops = &probe_fops,
};

static int __init probe_init(void)
{
	return misc_register(&probe_device);
}

static void __exit probe_exit(void)
{
	misc_deregister(&probe_device);
	fpgamem_pe_unregister(registration);
}

module_init(probe_init);
module_exit(probe_exit);

MODULE_AUTHOR("fpgamem maintainers");
MODULE_DESCRIPTION("Test of fpgamem's interface for drivers of accelerators");
MODULE_LICENSE("GPL");
