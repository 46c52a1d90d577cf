// SPDX-License-Identifier: GPL-2.0
/*
 * A sample of a driver for an accelerator that serves Paddle-Lite's clients: its one command is
 * BYPASS, for which a channel of any DMA engine that copies memory stands in.
 *
 * What to look at: translate, hold, hand over to the device, run it, take back, release.
 */

#include <linux/build_bug.h>
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/overflow.h>
#include <linux/property.h>
#include <linux/uaccess.h>

#include <fpgamem/pe.h>

/* BYPASS of Paddle-Lite since v2.9; older clients have another structure and another number. */
#define BYPASS 0x40604718

/* What is copied at a time, and how long that may take. */
#define PIECE_BYTES (64 << 10)
#define PIECE_TIMEOUT_MS 5000

enum data_type {
	FP16 = 0,
	FP32 = 1,
};

/* Addresses in it are the client's; those of scales are ordinary memory, not fpgamem's. */
struct bypass {
	u32 input_type;
	u32 output_type;
	u32 input_layout;
	u32 output_layout;
	u64 input;
	u64 input_scale;
	u32 channels;
	u32 width;
	u32 height;
	u32 pad_width;
	u32 pad_height;
	u32 padding;
	u64 output;
	u64 output_scale;
	u32 inplace[6];
};
static_assert(sizeof(struct bypass) == 96);

/* A range of the client's memory that the DMA engine may access. */
struct operand {
	struct fpgamem_pe_hold *hold;
	enum dma_data_direction direction;
	u64 phys_addr;
	u64 bytes;
	dma_addr_t page_addr;
	u64 page_bytes;
};

static struct fpgamem_pe *registration;
static struct dma_chan *channel;
/* One job at a time: what is given up must not take another one with it. */
static DEFINE_MUTEX(channel_lock);

/* Holds the range and makes it the device's. */
static int hand_over(struct operand *operand, struct fpgamem_pe_call *call, u64 user_addr, u64 bytes)
{
	struct device *dev = dmaengine_get_dma_device(channel);
	struct fpgamem_pe_place place;
	unsigned int operation;
	u64 page;
	int ret;

	operand->hold = fpgamem_pe_hold(call, user_addr, bytes);
	if (IS_ERR(operand->hold))
		return PTR_ERR(operand->hold);
	fpgamem_pe_hold_place(operand->hold, &place);
	operand->phys_addr = place.phys_addr;
	operand->bytes = bytes;

	/* The result must not be overwritten by lines that are evicted later. */
	operation = operand->direction == DMA_TO_DEVICE ? FPGAMEM_PE_CLEAN : FPGAMEM_PE_INVALIDATE;
	ret = fpgamem_pe_hold_sync(operand->hold, 0, bytes, operation);
	if (ret)
		goto release;

	/*
	 * Whole pages, which are the buffer's own. The kernel could not maintain their lines, nor
	 * copy them to where a device reaches them, because it does not map them.
	 */
	page = ALIGN_DOWN(place.phys_addr, PAGE_SIZE);
	operand->page_bytes = PAGE_ALIGN(place.phys_addr + bytes) - page;
	ret = -EIO;
	if (page + operand->page_bytes - 1 > dma_get_mask(dev))
		goto release;
	operand->page_addr = dma_map_phys(dev, page, operand->page_bytes, operand->direction,
					  DMA_ATTR_SKIP_CPU_SYNC);
	if (dma_mapping_error(dev, operand->page_addr))
		goto release;
	return 0;

release:
	fpgamem_pe_release(operand->hold);
	return ret;
}

/* Makes the range the CPU's again. */
static int take_back(struct operand *operand)
{
	struct device *dev = dmaengine_get_dma_device(channel);
	int ret = 0;

	dma_unmap_phys(dev, operand->page_addr, operand->page_bytes, operand->direction,
		       DMA_ATTR_SKIP_CPU_SYNC);
	/* Lines may have been fetched while the device wrote. */
	if (operand->direction == DMA_FROM_DEVICE)
		ret = fpgamem_pe_hold_sync(operand->hold, 0, operand->bytes,
					   FPGAMEM_PE_INVALIDATE);
	fpgamem_pe_release(operand->hold);
	return ret;
}

static dma_addr_t dma_addr_of(const struct operand *operand)
{
	return operand->page_addr + offset_in_page(operand->phys_addr);
}

static void piece_done(void *done)
{
	complete(done);
}

static int copy_piece(dma_addr_t to, dma_addr_t from, size_t bytes)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct dma_async_tx_descriptor *job;
	dma_cookie_t cookie;

	job = dmaengine_prep_dma_memcpy(channel, to, from, bytes,
					DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!job)
		return -EBUSY;
	job->callback = piece_done;
	job->callback_param = &done;
	cookie = dmaengine_submit(job);
	if (dma_submit_error(cookie))
		return -EIO;
	dma_async_issue_pending(channel);
	if (!wait_for_completion_timeout(&done, msecs_to_jiffies(PIECE_TIMEOUT_MS))) {
		/* After this the device accesses nothing any more. */
		dmaengine_terminate_sync(channel);
		return -ETIMEDOUT;
	}
	return dma_async_is_tx_complete(channel, cookie, NULL, NULL) == DMA_COMPLETE ? 0 : -EIO;
}

static int copy(const struct operand *to, const struct operand *from)
{
	u64 done, piece;
	int ret = 0;

	mutex_lock(&channel_lock);
	for (done = 0; !ret && done < from->bytes; done += piece) {
		piece = min(from->bytes - done, (u64)PIECE_BYTES);
		ret = copy_piece(dma_addr_of(to) + done, dma_addr_of(from) + done, piece);
	}
	mutex_unlock(&channel_lock);
	return ret;
}

/* A copy does not change the largest value, which is the scale: 2 bytes, half precision. */
static int copy_scale(u64 to, u64 from)
{
	u16 scale;

	if (!to || !from)
		return 0;
	if (copy_from_user(&scale, u64_to_user_ptr(from), sizeof(scale)) ||
	    copy_to_user(u64_to_user_ptr(to), &scale, sizeof(scale)))
		return -EFAULT;
	return 0;
}

/* The bytes of an image, 0 if there are none or too many. */
static u64 image_bytes(const struct bypass *args)
{
	u64 bytes = args->input_type == FP32 ? 4 : 2;

	if (check_mul_overflow(bytes, args->channels, &bytes) ||
	    check_mul_overflow(bytes, args->width, &bytes) ||
	    check_mul_overflow(bytes, args->height, &bytes))
		return 0;
	return bytes;
}

static int bypass(struct fpgamem_pe_call *call, const void __user *arg)
{
	struct operand from = { .direction = DMA_TO_DEVICE };
	struct operand to = { .direction = DMA_FROM_DEVICE };
	struct bypass args;
	int ret, result;
	u64 bytes;

	if (copy_from_user(&args, arg, sizeof(args)))
		return -EFAULT;
	/* A DMA engine converts nothing. */
	if (args.input_type > FP32 || args.output_type != args.input_type ||
	    args.output_layout != args.input_layout)
		return -EOPNOTSUPP;
	bytes = image_bytes(&args);

	ret = hand_over(&from, call, args.input, bytes);
	if (ret)
		return ret;
	ret = hand_over(&to, call, args.output, bytes);
	if (ret) {
		take_back(&from);
		return ret;
	}
	/* Pieces that were written must not be read again. */
	if (from.phys_addr < to.phys_addr + bytes && to.phys_addr < from.phys_addr + bytes)
		result = -EOPNOTSUPP;
	else
		result = copy(&to, &from);
	ret = take_back(&to);
	take_back(&from);
	if (result)
		return result;
	return ret ?: copy_scale(args.output_scale, args.input_scale);
}

static int bypass_ioctl(void *context, struct fpgamem_pe_call *call, unsigned int command,
			void __user *arg)
{
	switch (command) {
	case BYPASS:
		return bypass(call, arg);
	default:
		return -ENOTTY;
	}
}

static const struct fpgamem_pe_ops bypass_ops = {
	.owner = THIS_MODULE,
	.ioctl = bypass_ioctl,
};

static int __init bypass_init(void)
{
	struct device_node *pool;
	dma_cap_mask_t mask;

	dma_cap_zero(mask);
	dma_cap_set(DMA_MEMCPY, mask);
	channel = dma_request_chan_by_mask(&mask);
	if (IS_ERR(channel))
		return PTR_ERR(channel);

	/* The driver of a real accelerator finds the pool by a phandle in its own node. */
	pool = of_find_node_with_property(NULL, "fpgamem,paddle");
	registration = fpgamem_pe_register(of_fwnode_handle(pool), &bypass_ops, NULL);
	of_node_put(pool);
	if (IS_ERR(registration)) {
		dma_release_channel(channel);
		return PTR_ERR(registration);
	}
	return 0;
}

static void __exit bypass_exit(void)
{
	/* From here on no call runs, and each has released what it held. */
	fpgamem_pe_unregister(registration);
	dma_release_channel(channel);
}

module_init(bypass_init);
module_exit(bypass_exit);

MODULE_AUTHOR("fpgamem maintainers");
MODULE_DESCRIPTION("Sample accelerator for fpgamem: BYPASS by a DMA engine");
MODULE_LICENSE("GPL");
