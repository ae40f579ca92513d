//! The tests of this crate get their rings as the broker does: see `src/rings.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-tests=-Wl,--wrap=__sys_io_uring_setup");
}
