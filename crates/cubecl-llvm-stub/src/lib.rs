//! Stand-in for cubecl-llvm: the types that cubecl-cuda names, and no LLVM.
//!
//! The real crate downloads LLVM while it builds. With its feature `cpp` cubecl-cuda compiles kernels through NVRTC
//! and never calls the functions below, but it still names their types.

use cubecl_core::{ir::nvidia::SmArch, prelude::KernelDefinition};
use cubecl_server::{compiler::CompilationError, kernel::BufferIOAttr};

/// What LLVM would compile for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlvmTarget {
    /// The host.
    Cpu,
    /// NVIDIA's virtual machine.
    Nvptx,
}

/// The compiler that is not there.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// Options of the compiler that is not there.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Host architecture.
    pub arch: Option<()>,
    /// GPU architecture.
    pub sm_arch: Option<SmArch>,
    /// Version of the virtual machine's language.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether kernel arguments are grid constants.
    pub grid_constants: bool,
    /// Keeps `..Default::default()` meaningful.
    pub other: (),
}

/// A compiled kernel, which this crate never makes.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// Intermediate representation.
    pub ir: String,
    /// Text of the virtual machine's language.
    pub ptx: Vec<core::ffi::c_char>,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// How the buffers are used.
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation makes.
pub enum PlironArtifact {
    /// A kernel for NVIDIA's virtual machine.
    NvptxCode(NvptxModule),
    /// Anything else.
    Other,
}

impl PlironCompiler {
    /// Never called with cubecl-cuda's feature `cpp`.
    ///
    /// # Panics
    /// Always.
    pub fn compile(&mut self, _: KernelDefinition, _: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        panic!("this build has no LLVM: enable the feature `cpp` of cubecl-cuda")
    }

    /// The name of the compiler's language.
    pub fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// NVIDIA's virtual machine.
pub mod nvptx {
    /// Versions of its language.
    pub mod ptx_version {
        /// A version, here simply the driver's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(i32);

        impl PtxVersion {
            /// The version that belongs to a driver.
            pub fn for_driver(driver: i32) -> Option<Self> {
                Some(Self(driver))
            }
        }

        impl core::fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "ptx{}", self.0)
            }
        }
    }
}

/// What all targets share.
pub mod shared {
    /// Features that LLVM lowers.
    pub mod lowered_features {
        /// A GPU that LLVM compiles for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Leaves the device's features as they are.
        pub fn restrict_features(_: &mut cubecl_core::ir::DeviceProperties, _: GpuTarget) {}
    }
}
