//! Links the kernel by `link.ld` when it is built for the bare machine. On the host the package is a library with
//! tests, and a program that only says so.

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    let for_machine = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let (true, Ok(folder)) = (for_machine, std::env::var("CARGO_MANIFEST_DIR")) {
        for argument in [
            &*format!("-T{folder}/link.ld"),
            "--no-pie",
            "-zmax-page-size=4096",
        ] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
