//! The driver server's program. Thin: joins the library to the kernel's capabilities.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod platform;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("virtio-net runs in the image only");
}
