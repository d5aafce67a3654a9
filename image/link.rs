//! The build script of the programs whose functions `order.ld` puts in order (`build` in their Cargo.toml).

fn main() {
    let order = concat!(env!("CARGO_MANIFEST_DIR"), "/../../image/order.ld");
    println!("cargo::rerun-if-changed={order}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo::rustc-link-arg-bins=-T{order}");
    }
}
