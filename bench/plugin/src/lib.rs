//! A QEMU plugin that counts how often each translated block of the guest ran: `-plugin libtcg_count.so,socket=PATH`.
//!
//! Who connects to the Unix socket PATH gets the counts of that moment: a `u64` with the number of blocks, then for each its
//! virtual address (`u64`), how often it ran (`u64`), its instructions (`u32`), the length of its code (`u32`) and the code, all
//! little-endian. The code tells whose block it is where programs lie at equal addresses. An interrupted block counts as
//! a whole one, and a repeated string instruction once per repetition, as with `-icount`.
//!
//! The functions declared here are those of QEMU's `qemu-plugin.h`, version 1 (docs/devel/tcg-plugins.rst).

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    io::Write,
    os::unix::net::UnixListener,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Version of the interface that this is written for.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

#[repr(C)]
struct Block {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Instruction {
    _opaque: [u8; 0],
}

type Translated = extern "C" fn(id: u64, block: *mut Block);

/// `QEMU_PLUGIN_INLINE_ADD_U64`.
const ADD_U64: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: Translated);
    fn qemu_plugin_register_vcpu_tb_exec_inline(
        block: *mut Block,
        operation: c_int,
        counter: *mut c_void,
        immediate: u64,
    );
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_vaddr(block: *const Block) -> u64;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
}

/// One block: the translations of equal code at an equal address share it.
struct Count {
    instructions: u32,
    /// Kept for ever: translated code adds to it.
    runs: &'static AtomicU64,
}

/// Blocks by address and code.
type Blocks = HashMap<(u64, Vec<u8>), Count>;

/// All blocks so far.
static BLOCKS: Mutex<Option<Blocks>> = Mutex::new(None);

extern "C" fn translated(_id: u64, block: *mut Block) {
    // SAFETY: QEMU hands in a block that is valid until this function returns.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    // SAFETY: as above.
    let address = unsafe { qemu_plugin_tb_vaddr(block) };
    let mut code = Vec::new();
    for index in 0..count {
        // SAFETY: as above, and the index is below the number of instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: the instruction lives as long as the block.
        let data = unsafe { qemu_plugin_insn_data(instruction) };
        // SAFETY: as above.
        let size = unsafe { qemu_plugin_insn_size(instruction) };
        // SAFETY: QEMU keeps `size` bytes of the instruction at `data`.
        code.extend_from_slice(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) });
    }
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = blocks
        .get_or_insert_with(Blocks::new)
        .entry((address, code))
        .or_insert_with(|| Count {
            instructions: count as u32,
            runs: Box::leak(Box::default()),
        });
    let counter = entry.runs.as_ptr().cast();
    // SAFETY: the counter is never freed. With one virtual processor nobody else writes to it; it is read by atomic loads.
    unsafe { qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, counter, 1) };
}

/// The counts of this moment.
fn snapshot() -> Vec<u8> {
    let blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes = Vec::new();
    let empty = Blocks::new();
    let blocks = blocks.as_ref().unwrap_or(&empty);
    bytes.extend((blocks.len() as u64).to_le_bytes());
    for ((address, code), count) in blocks {
        bytes.extend(address.to_le_bytes());
        bytes.extend(count.runs.load(Ordering::Relaxed).to_le_bytes());
        bytes.extend(count.instructions.to_le_bytes());
        bytes.extend((code.len() as u32).to_le_bytes());
        bytes.extend(code);
    }
    bytes
}

/// Called by QEMU when it loads the plugin. Returns 0, or -1 after a line on stderr if the socket can't be had.
///
/// # Safety
/// `arguments` are `count` C strings, as QEMU passes them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let mut path = None;
    for index in 0..count as usize {
        // SAFETY: the caller says that there are `count` of them.
        let argument = unsafe { arguments.add(index) };
        // SAFETY: as above.
        let argument = unsafe { *argument };
        // SAFETY: the caller says that it is a C string.
        let argument = unsafe { CStr::from_ptr(argument) };
        path = argument
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("socket="))
            .map(str::to_owned)
            .or(path);
    }
    let Some(path) = path else {
        eprintln!("tcg-count: which socket? (socket=PATH)");
        return -1;
    };
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("tcg-count: {path}: {error}");
            return -1;
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who hangs up gets less.
            let _ = (&stream).write_all(&snapshot());
        }
    });
    // SAFETY: `translated` has the signature that QEMU asks for.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    0
}
