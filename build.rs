//! Compiles `proto/` to prost types and their JSON mapping; needs no protoc (protox).

use std::path::PathBuf;

/// Every file of the schema.
const SCHEMA: [&str; 4] = ["agent.proto", "client.proto", "link.proto", "order.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = SCHEMA.map(|name| format!("proto/portcullis/v1/{name}"));
    let descriptors = protox::compile(files, ["proto"])?;
    let descriptor_path = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(&descriptor_path, prost_encode(&descriptors))?;

    let mut config = prost_build::Config::new();
    config.bytes(["."]).file_descriptor_set_path(&descriptor_path).skip_protoc_run();
    config.compile_protos(&SCHEMA, &["proto/portcullis/v1"])?;

    pbjson_build::Builder::new()
        .register_descriptors(&std::fs::read(&descriptor_path)?)?
        .preserve_proto_field_names()
        .ignore_unknown_fields()
        .ignore_unknown_enum_variants()
        .build(&[".portcullis.v1"])?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
