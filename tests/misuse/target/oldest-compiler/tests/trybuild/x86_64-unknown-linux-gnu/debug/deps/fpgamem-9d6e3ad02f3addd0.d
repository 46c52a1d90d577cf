/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/libfpgamem-9d6e3ad02f3addd0.rmeta: /tmp/wt/me/libfpgamem/src/lib.rs /tmp/wt/me/libfpgamem/src/addr.rs /tmp/wt/me/libfpgamem/src/alloc.rs /tmp/wt/me/libfpgamem/src/arena.rs /tmp/wt/me/libfpgamem/src/arena/chunk.rs /tmp/wt/me/libfpgamem/src/arena/lease.rs /tmp/wt/me/libfpgamem/src/arena/options.rs /tmp/wt/me/libfpgamem/src/arena/plan.rs /tmp/wt/me/libfpgamem/src/arena/rooms.rs /tmp/wt/me/libfpgamem/src/backend.rs /tmp/wt/me/libfpgamem/src/buffer.rs /tmp/wt/me/libfpgamem/src/cache.rs /tmp/wt/me/libfpgamem/src/device.rs /tmp/wt/me/libfpgamem/src/direction.rs /tmp/wt/me/libfpgamem/src/driver.rs /tmp/wt/me/libfpgamem/src/emulated.rs /tmp/wt/me/libfpgamem/src/emulated/board.rs /tmp/wt/me/libfpgamem/src/emulated/chance.rs /tmp/wt/me/libfpgamem/src/emulated/cpu.rs /tmp/wt/me/libfpgamem/src/emulated/fpga.rs /tmp/wt/me/libfpgamem/src/emulated/options.rs /tmp/wt/me/libfpgamem/src/error.rs /tmp/wt/me/libfpgamem/src/fork.rs /tmp/wt/me/libfpgamem/src/hand_over.rs /tmp/wt/me/libfpgamem/src/info.rs /tmp/wt/me/libfpgamem/src/inner.rs /tmp/wt/me/libfpgamem/src/map.rs /tmp/wt/me/libfpgamem/src/memory.rs /tmp/wt/me/libfpgamem/src/parts.rs /tmp/wt/me/libfpgamem/src/pool.rs /tmp/wt/me/libfpgamem/src/status.rs /tmp/wt/me/libfpgamem/src/sync.rs /tmp/wt/me/libfpgamem/src/sys.rs /tmp/wt/me/libfpgamem/src/translate.rs /tmp/wt/me/libfpgamem/src/u_dma_buf.rs /tmp/wt/me/libfpgamem/src/typed.rs /tmp/wt/me/libfpgamem/src/view.rs

/tmp/wt/me/tests/misuse/target/oldest-compiler/tests/trybuild/x86_64-unknown-linux-gnu/debug/deps/fpgamem-9d6e3ad02f3addd0.d: /tmp/wt/me/libfpgamem/src/lib.rs /tmp/wt/me/libfpgamem/src/addr.rs /tmp/wt/me/libfpgamem/src/alloc.rs /tmp/wt/me/libfpgamem/src/arena.rs /tmp/wt/me/libfpgamem/src/arena/chunk.rs /tmp/wt/me/libfpgamem/src/arena/lease.rs /tmp/wt/me/libfpgamem/src/arena/options.rs /tmp/wt/me/libfpgamem/src/arena/plan.rs /tmp/wt/me/libfpgamem/src/arena/rooms.rs /tmp/wt/me/libfpgamem/src/backend.rs /tmp/wt/me/libfpgamem/src/buffer.rs /tmp/wt/me/libfpgamem/src/cache.rs /tmp/wt/me/libfpgamem/src/device.rs /tmp/wt/me/libfpgamem/src/direction.rs /tmp/wt/me/libfpgamem/src/driver.rs /tmp/wt/me/libfpgamem/src/emulated.rs /tmp/wt/me/libfpgamem/src/emulated/board.rs /tmp/wt/me/libfpgamem/src/emulated/chance.rs /tmp/wt/me/libfpgamem/src/emulated/cpu.rs /tmp/wt/me/libfpgamem/src/emulated/fpga.rs /tmp/wt/me/libfpgamem/src/emulated/options.rs /tmp/wt/me/libfpgamem/src/error.rs /tmp/wt/me/libfpgamem/src/fork.rs /tmp/wt/me/libfpgamem/src/hand_over.rs /tmp/wt/me/libfpgamem/src/info.rs /tmp/wt/me/libfpgamem/src/inner.rs /tmp/wt/me/libfpgamem/src/map.rs /tmp/wt/me/libfpgamem/src/memory.rs /tmp/wt/me/libfpgamem/src/parts.rs /tmp/wt/me/libfpgamem/src/pool.rs /tmp/wt/me/libfpgamem/src/status.rs /tmp/wt/me/libfpgamem/src/sync.rs /tmp/wt/me/libfpgamem/src/sys.rs /tmp/wt/me/libfpgamem/src/translate.rs /tmp/wt/me/libfpgamem/src/u_dma_buf.rs /tmp/wt/me/libfpgamem/src/typed.rs /tmp/wt/me/libfpgamem/src/view.rs

/tmp/wt/me/libfpgamem/src/lib.rs:
/tmp/wt/me/libfpgamem/src/addr.rs:
/tmp/wt/me/libfpgamem/src/alloc.rs:
/tmp/wt/me/libfpgamem/src/arena.rs:
/tmp/wt/me/libfpgamem/src/arena/chunk.rs:
/tmp/wt/me/libfpgamem/src/arena/lease.rs:
/tmp/wt/me/libfpgamem/src/arena/options.rs:
/tmp/wt/me/libfpgamem/src/arena/plan.rs:
/tmp/wt/me/libfpgamem/src/arena/rooms.rs:
/tmp/wt/me/libfpgamem/src/backend.rs:
/tmp/wt/me/libfpgamem/src/buffer.rs:
/tmp/wt/me/libfpgamem/src/cache.rs:
/tmp/wt/me/libfpgamem/src/device.rs:
/tmp/wt/me/libfpgamem/src/direction.rs:
/tmp/wt/me/libfpgamem/src/driver.rs:
/tmp/wt/me/libfpgamem/src/emulated.rs:
/tmp/wt/me/libfpgamem/src/emulated/board.rs:
/tmp/wt/me/libfpgamem/src/emulated/chance.rs:
/tmp/wt/me/libfpgamem/src/emulated/cpu.rs:
/tmp/wt/me/libfpgamem/src/emulated/fpga.rs:
/tmp/wt/me/libfpgamem/src/emulated/options.rs:
/tmp/wt/me/libfpgamem/src/error.rs:
/tmp/wt/me/libfpgamem/src/fork.rs:
/tmp/wt/me/libfpgamem/src/hand_over.rs:
/tmp/wt/me/libfpgamem/src/info.rs:
/tmp/wt/me/libfpgamem/src/inner.rs:
/tmp/wt/me/libfpgamem/src/map.rs:
/tmp/wt/me/libfpgamem/src/memory.rs:
/tmp/wt/me/libfpgamem/src/parts.rs:
/tmp/wt/me/libfpgamem/src/pool.rs:
/tmp/wt/me/libfpgamem/src/status.rs:
/tmp/wt/me/libfpgamem/src/sync.rs:
/tmp/wt/me/libfpgamem/src/sys.rs:
/tmp/wt/me/libfpgamem/src/translate.rs:
/tmp/wt/me/libfpgamem/src/u_dma_buf.rs:
/tmp/wt/me/libfpgamem/src/typed.rs:
/tmp/wt/me/libfpgamem/src/view.rs:
