//! One file of tensors, of whichever format.

use std::path::Path;

use super::locate::not_weights;
use super::mapped::MappedFile;
use super::tensor::FileTensor;
#[cfg(feature = "torch")]
use super::torch::TorchFile;
use crate::error::Result;

/// A file of named tensors.
pub(super) enum WeightFile {
    /// safetensors, mapped into memory.
    Mapped(MappedFile),
    /// What `torch.save` writes, read tensor by tensor.
    #[cfg(feature = "torch")]
    Torch(TorchFile),
}

impl WeightFile {
    /// Opens a file in the format that its extension names.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => MappedFile::open(path).map(Self::Mapped),
            #[cfg(feature = "torch")]
            Some("bin" | "pt" | "pth") => TorchFile::open(path).map(Self::Torch),
            #[cfg(not(feature = "torch"))]
            Some("bin" | "pt" | "pth") => Err(crate::error::Error::Feature {
                path: path.to_owned(),
                what: "weight files of torch.save",
                feature: "torch",
            }),
            ending => {
                let found = format!("the ending {:?}", ending.unwrap_or_default());
                Err(not_weights(path, found, ".safetensors, .bin, .pt, .pth or .index.json"))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Mapped(file) => file.path(),
            #[cfg(feature = "torch")]
            Self::Torch(file) => file.path(),
        }
    }

    /// The names of all tensors, in no order.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Mapped(file) => file.names(),
            #[cfg(feature = "torch")]
            Self::Torch(file) => file.names(),
        }
    }

    pub(super) fn tensor<'a>(&'a self, name: &'a str) -> Option<FileTensor<'a>> {
        match self {
            Self::Mapped(file) => file.tensor(name),
            #[cfg(feature = "torch")]
            Self::Torch(file) => file.tensor(name),
        }
    }
}
