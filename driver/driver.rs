// SPDX-License-Identifier: GPL-2.0

//! The platform driver: one device-tree node, one pool, one `/dev/fpgamemN`.

use crate::{
    debug::DebugFiles,
    file::OpenFile,
    kapi::{misc, region::Extent, registers, thread::Thread},
    paddle::{info, node::PaddleFile},
    pool::Pool,
    registry::{Claim, Refusal},
    scrub::Scrubber,
    shared::paddle_abi::DeviceInfo,
};
use kernel::{
    c_str,
    device::{property::FwNode, Bound, Core, Device},
    of,
    page::PAGE_SIZE,
    platform,
    prelude::*,
    str::CString,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc,
    },
};

/// Block size in bytes where the device tree names none.
const DEFAULT_BLOCK_BYTES: u32 = 16 << 10;
/// Largest block size in bytes.
const MAX_BLOCK_BYTES: u32 = 2 << 20;
/// Milliseconds in quarantine where the device tree names none.
const DEFAULT_QUARANTINE_MS: u32 = 1000;
/// Who may open the node; a udev rule gives it to group `fpgamem`.
const NODE_MODE: u16 = 0o660;

/// What all files of one bound device share.
pub(crate) struct BoundPool {
    pool: Arc<Pool>,
    coherent: bool,
    /// What Paddle's clients are told; `None` if they are not served.
    paddle: Option<DeviceInfo>,
    /// The accelerator's registers, if the node names them.
    registers: Option<Extent>,
    /// Names the device-tree node while the device is bound; only to be compared.
    node: usize,
    /// Not 0 once the device is unbound.
    gone: Atomic<u32>,
}

impl BoundPool {
    /// The pool.
    ///
    /// # Errors
    ///
    /// `ENODEV` once the device is unbound.
    pub(crate) fn pool(&self) -> Result<&Arc<Pool>> {
        if self.gone.load(Acquire) != 0 {
            return Err(ENODEV);
        }
        Ok(&self.pool)
    }

    /// What Paddle's clients are told; `None` if they are not served.
    pub(crate) fn paddle(&self) -> Option<&DeviceInfo> {
        self.paddle.as_ref()
    }

    /// Where the accelerator's registers lie, if the node names them.
    pub(crate) fn registers(&self) -> Option<Extent> {
        self.registers
    }

    /// Names the device-tree node while the device is bound; only to be compared.
    pub(crate) fn node(&self) -> usize {
        self.node
    }

    /// Whether the port snoops the caches unless a buffer says otherwise.
    pub(crate) fn is_coherent(&self) -> bool {
        self.coherent
    }
}

/// A bound device. The fields are dropped in this order: no new files, no more debugfs, no more scrubbing, and
/// only then may the region be bound again.
#[pin_data(PinnedDrop)]
pub(crate) struct MemoryPool {
    #[pin]
    _node: misc::Registration<OpenFile>,
    _paddle: Option<Pin<KBox<misc::Registration<PaddleFile>>>>,
    _debug: Option<DebugFiles>,
    _scrubber: Thread<Scrubber>,
    bound: Arc<BoundPool>,
    _claim: Claim,
}

kernel::of_device_table!(
    OF_TABLE,
    MODULE_OF_TABLE,
    <MemoryPool as platform::Driver>::IdInfo,
    [(of::DeviceId::new(c_str!("fpgamem,memory-pool")), ())]
);

impl platform::Driver for MemoryPool {
    type IdInfo = ();
    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&OF_TABLE);

    fn probe(
        pdev: &platform::Device<Core>,
        _id_info: Option<&Self::IdInfo>,
    ) -> Result<Pin<KBox<Self>>> {
        let dev = pdev.as_ref();
        let extent = Extent::of_device(dev)?;
        let block_shift = block_shift(dev, extent)?;
        let coherent = dev
            .fwnode()
            .is_some_and(|node| node.property_read_bool(c_str!("dma-coherent")));

        let paddle = info::of_device(dev)?;
        let registers = registers::of_device(pdev, dev)?;
        let quarantine_ms = dev
            .fwnode()
            .and_then(|node| {
                node.property_read::<u32>(c_str!("fpgamem,quarantine-ms"))
                    .optional()
            })
            .unwrap_or(DEFAULT_QUARANTINE_MS);

        let claim = claim(dev, extent, block_shift, quarantine_ms)?;
        let pool = claim.pool().clone();
        let name = CString::try_from_fmt(fmt!("fpgamem{}", claim.index()))?;
        let bound = Arc::new(
            BoundPool {
                pool: pool.clone(),
                coherent,
                paddle,
                registers,
                node: address_of_node(dev),
                gone: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let debug = match claim.debugfs() {
            Some(root) => Some(DebugFiles::new(&root, &name, &pool)?),
            None => None,
        };
        let index = claim.index();
        let scrubber = scrubber(dev, index, pool.clone())?;
        let paddle = match paddle {
            Some(_) => Some(paddle_node(dev, index, bound.clone())?),
            None => None,
        };
        let node = misc::Registration::new(dev, name, NODE_MODE, bound.clone());
        let this = KBox::pin_init(
            try_pin_init!(Self {
                _paddle: paddle,
                _debug: debug,
                _scrubber: scrubber,
                bound,
                _claim: claim,
                _node <- node,
            }),
            GFP_KERNEL,
        )
        .inspect_err(|error| {
            dev_err!(
                dev,
                "cannot make /dev/fpgamem{} ({})\n",
                index,
                error.to_errno()
            );
        })?;
        dev_info!(
            dev,
            "/dev/fpgamem{}: {} blocks of {} bytes at [{:#x}, {:#x}), {}coherent\n",
            index,
            pool.nr_blocks(),
            pool.block_bytes(),
            extent.start,
            extent.end(),
            if coherent { "" } else { "not " }
        );
        Ok(this)
    }
}

#[pinned_drop]
impl PinnedDrop for MemoryPool {
    fn drop(self: Pin<&mut Self>) {
        self.bound.gone.store(1, Release);
    }
}

/// Names the device-tree node of a device; only to be compared.
fn address_of_node(dev: &Device<Bound>) -> usize {
    dev.fwnode().map_or(0, |node| {
        let node: *const FwNode = node;
        node as usize
    })
}

/// Starts the thread that scrubs what is freed.
fn scrubber(dev: &Device<Bound>, index: u32, pool: Arc<Pool>) -> Result<Thread<Scrubber>> {
    let start = || {
        let name = CString::try_from_fmt(fmt!("fpgamem-scrub/{index}"))?;
        Thread::start(&name, Scrubber::new(pool)?)
    };
    start().inspect_err(|error| {
        dev_err!(
            dev,
            "cannot start a thread for /dev/fpgamem{} ({})\n",
            index,
            error.to_errno()
        );
    })
}

/// Makes the node of Paddle's clients.
fn paddle_node(
    dev: &Device<Bound>,
    index: u32,
    bound: Arc<BoundPool>,
) -> Result<Pin<KBox<misc::Registration<PaddleFile>>>> {
    let name = CString::try_from_fmt(fmt!("fpgadrv{index}"))?;
    KBox::pin_init(
        misc::Registration::new(dev, name, NODE_MODE, bound),
        GFP_KERNEL,
    )
    .inspect_err(|error| {
        dev_err!(
            dev,
            "cannot make /dev/fpgadrv{} ({})\n",
            index,
            error.to_errno()
        );
    })
}

/// Claims the region, saying why if it cannot be had.
fn claim(
    dev: &Device<Bound>,
    extent: Extent,
    block_shift: u32,
    quarantine_ms: u32,
) -> Result<Claim> {
    Claim::new(extent, block_shift, quarantine_ms).map_err(|refusal| match refusal {
        Refusal::Bound => {
            dev_err!(
                dev,
                "region [{:#x}, {:#x}) is in use by another pool ({})\n",
                extent.start,
                extent.end(),
                EBUSY.to_errno()
            );
            EBUSY
        }
        Refusal::Held => {
            dev_err!(
                dev,
                "blocks of [{:#x}, {:#x}) are still held or quarantined with another block size or extent ({})\n",
                extent.start,
                extent.end(),
                EBUSY.to_errno()
            );
            EBUSY
        }
        Refusal::Failed(error) => {
            dev_err!(
                dev,
                "cannot map region [{:#x}, {:#x}) ({})\n",
                extent.start,
                extent.end(),
                error.to_errno()
            );
            error
        }
    })
}

/// The binary logarithm of the block size that the device tree asks for.
///
/// # Errors
///
/// `EINVAL`, after one message, if it is no size for blocks or does not divide the region.
fn block_shift(dev: &Device<Bound>, extent: Extent) -> Result<u32> {
    let bytes = dev
        .fwnode()
        .and_then(|node| {
            node.property_read::<u32>(c_str!("fpgamem,block-size"))
                .optional()
        })
        .unwrap_or(DEFAULT_BLOCK_BYTES);
    if !bytes.is_power_of_two() || (bytes as usize) < PAGE_SIZE || bytes > MAX_BLOCK_BYTES {
        dev_err!(
            dev,
            "fpgamem,block-size {} is no power of two from {} to {} ({})\n",
            bytes,
            PAGE_SIZE,
            MAX_BLOCK_BYTES,
            EINVAL.to_errno()
        );
        return Err(EINVAL);
    }
    let mask = u64::from(bytes) - 1;
    if extent.bytes == 0 || (extent.start | extent.bytes) & mask != 0 {
        dev_err!(
            dev,
            "region [{:#x}, {:#x}) does not begin and end at multiples of the block size {} ({})\n",
            extent.start,
            extent.end(),
            bytes,
            EINVAL.to_errno()
        );
        return Err(EINVAL);
    }
    if extent.end() - extent.start != extent.bytes
        || extent.bytes >> bytes.trailing_zeros() > u64::from(u32::MAX)
    {
        dev_err!(
            dev,
            "region of {} bytes is too large ({})\n",
            extent.bytes,
            EINVAL.to_errno()
        );
        return Err(EINVAL);
    }
    Ok(bytes.trailing_zeros())
}
