//! Functions that make ids.

use sha1::{Digest, Sha1};
use uuid::{Builder, Uuid};

use super::{Function, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("uuidv4", 0, |call| {
        let id = Builder::from_random_bytes(call.draw()?).into_uuid();
        call.made(id.to_string())
    }),
    exactly("uuidv5", 2, |call| {
        let (namespace, name) = (call.text(0)?, call.text(1)?);
        let namespace = match namespace.as_str() {
            "dns" => Uuid::NAMESPACE_DNS,
            "url" => Uuid::NAMESPACE_URL,
            "oid" => Uuid::NAMESPACE_OID,
            "x500" => Uuid::NAMESPACE_X500,
            other => match Uuid::try_parse(other) {
                Ok(id) => id,
                Err(_) => return call.refuse(0, "has to be \"dns\", \"url\", \"oid\", \"x500\" or a UUID"),
            },
        };
        call.budget.bytes(name.len())?;
        let digest = Sha1::new().chain_update(namespace).chain_update(&name).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        call.made(Builder::from_sha1_bytes(bytes).into_uuid().to_string())
    }),
];
