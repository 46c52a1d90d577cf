// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where buffers come from: the driver of this project, a heap of the kernel, or u-dma-buf.

use crate::raw::{self, Mapping};
use crate::sample::{measure, Sample};
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const HEAPS: &str = "/dev/dma_heap";

/// Where buffers come from.
#[derive(Debug)]
pub(crate) enum Driver {
    Fpgamem(File),
    Heap(&'static str, File),
    /// A node, which is one buffer.
    UDmaBuf(File),
}

/// A buffer that is not mapped.
#[derive(Debug)]
pub(crate) enum Buffer {
    Handle(u32, u64),
    DmaBuf(OwnedFd),
    /// The beginning of the one that there is.
    Whole,
}

impl Driver {
    /// As the lines of JSON call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fpgamem(_) => "fpgamem",
            Self::Heap(name, _) => name,
            Self::UDmaBuf(_) => "u-dma-buf",
        }
    }

    pub(crate) fn alloc(&self, bytes: usize) -> io::Result<Buffer> {
        Ok(match self {
            Self::Fpgamem(device) => {
                let alloc = raw::alloc(device, bytes)?;
                Buffer::Handle(alloc.handle, alloc.mmap_offset)
            }
            Self::Heap(_, heap) => Buffer::DmaBuf(raw::heap_alloc(heap, bytes)?),
            Self::UDmaBuf(_) => Buffer::Whole,
        })
    }

    pub(crate) fn map(&self, buffer: &Buffer, bytes: usize) -> io::Result<Mapping> {
        match (self, buffer) {
            (Self::Fpgamem(device), Buffer::Handle(_, offset)) => {
                Mapping::new(device, bytes, *offset)
            }
            (Self::UDmaBuf(node), Buffer::Whole) => Mapping::new(node, bytes, 0),
            (_, Buffer::DmaBuf(dma_buf)) => Mapping::new(dma_buf, bytes, 0),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(crate) fn free(&self, buffer: Buffer) -> io::Result<()> {
        match (self, buffer) {
            (Self::Fpgamem(device), Buffer::Handle(handle, _)) => raw::free(device, handle),
            _ => Ok(()),
        }
    }

    /// The life of one buffer, by phase.
    pub(crate) fn cycle(&self, bytes: usize) -> io::Result<[Sample; 5]> {
        let (buffer, alloc) = measure("allocate", || self.alloc(bytes))?;
        let (mapping, map) = measure("map", || self.map(&buffer, bytes))?;
        let ((), touch) = measure("touch", || {
            mapping.touch();
            Ok(())
        })?;
        let ((), unmap) = measure("unmap", || {
            drop(mapping);
            Ok(())
        })?;
        let ((), free) = measure("free", || self.free(buffer))?;
        Ok([alloc, map, touch, unmap, free])
    }

    /// The life of one buffer in one piece, as short as the driver allows.
    pub(crate) fn life(&self, bytes: usize) -> io::Result<()> {
        let (mapping, buffer) = match self {
            // It allocates, or nothing does.
            Self::Fpgamem(node) | Self::UDmaBuf(node) => (Mapping::new(node, bytes, 0)?, None),
            Self::Heap(..) => {
                let buffer = self.alloc(bytes)?;
                (self.map(&buffer, bytes)?, Some(buffer))
            }
        };
        mapping.touch();
        drop(mapping);
        buffer.map_or(Ok(()), |buffer| self.free(buffer))
    }
}

/// The kernel's heaps that there are; `name` is that of the contiguous one, if it is not to be found.
pub(crate) fn heaps(name: Option<&str>) -> Result<Vec<Driver>, Box<dyn Error>> {
    let mut heaps = Vec::new();
    match heap(Path::new(HEAPS), name) {
        Some(path) => heaps.push(Driver::Heap("cma-heap", open(&path)?)),
        None => eprintln!("bench: no CMA heap in {HEAPS}"),
    }
    if let Ok(heap) = open(&Path::new(HEAPS).join("system")) {
        heaps.push(Driver::Heap("system-heap", heap));
    }
    Ok(heaps)
}

/// Opens a node.
pub(crate) fn open(path: &Path) -> Result<File, Box<dyn Error>> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    Ok(file.map_err(|e| format!("cannot open {}: {e}", path.display()))?)
}

/// The heap of that name, or the one that allocates from CMA: its name has varied.
fn heap(heaps: &Path, name: Option<&str>) -> Option<PathBuf> {
    if let Some(name) = name {
        return Some(heaps.join(name));
    }
    let entries = fs::read_dir(heaps).ok()?.flatten();
    let names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let name = names
        .iter()
        .filter(|name| name.contains("cma") || *name == "reserved")
        .min()?;
    Some(heaps.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heaps(test: &str, names: &[&str]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("heaps-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for name in names {
            File::create(path.join(name)).unwrap();
        }
        path
    }

    #[test]
    fn takes_the_cma_heap_and_not_the_system_heap() {
        for name in ["default_cma_region", "linux,cma", "reserved"] {
            let path = heaps(name, &["system", name]);
            let found = heap(&path, None);
            fs::remove_dir_all(&path).unwrap();
            assert_eq!(found, Some(path.join(name)));
        }
    }

    #[test]
    fn has_none_without_a_cma_heap() {
        let path = heaps("none", &["system"]);
        let found = heap(&path, None);
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(found, None);
    }

    #[test]
    fn takes_the_heap_that_is_named() {
        assert_eq!(
            heap(Path::new("/h"), Some("system")),
            Some("/h/system".into())
        );
    }

    #[test]
    fn a_mapping_is_touched_once_a_page() {
        let path = std::env::temp_dir().join(format!("touch-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.set_len(3 * 4096).unwrap();
        Mapping::new(&file, 3 * 4096, 0).unwrap().touch();
        let contents = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let touched: Vec<_> = (0..contents.len())
            .filter(|at| contents[*at] != 0)
            .collect();
        assert_eq!(touched, [0, 4096, 8192]);
    }
}
