//! Makes the messages and the service from `proto/`, without a protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["discovery.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".qoe.discovery.v1alpha1.Push.body")
        .bytes(".qoe.discovery.v1alpha1.SavedRoute.body")
        .compile_fds(files)?;
    Ok(())
}
