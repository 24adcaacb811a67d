//! Graphics cards as their drivers describe them.

use std::path::Path;

use burn::tensor::Device;

use super::Interface;

/// A GPU that this machine seems to have: its maker, and the feature whose build can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentGpu {
    /// Who made it.
    pub maker: &'static str,
    /// The feature for it.
    pub feature: &'static str,
    /// Whether this build has the feature.
    pub is_built: bool,
}

impl PresentGpu {
    /// The GPU whose driver has left its files below `root`, usually `/`; none is opened.
    pub fn find(root: &Path) -> Option<Self> {
        // NVIDIA's kernel module; AMD's compute interface, which integrated graphics of other makers lack.
        let known = [("NVIDIA", "proc/driver/nvidia/version", Interface::Cuda), ("AMD", "dev/kfd", Interface::Wgpu)];
        let (maker, _, interface) = known.into_iter().find(|(_, file, _)| root.join(file).exists())?;
        Some(Self { maker, feature: interface.name(), is_built: interface.is_built() })
    }
}

/// The name that a driver gives its device, and the card's memory where a driver says how much it has: `NVIDIA L4, 22.5 GiB`.
#[cfg(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal"))]
pub(super) fn describe(device: &Device) -> Option<String> {
    let identity = device.identity()?;
    let address = identity.physical.and_then(|card| card.pci_address);
    let bytes = address.and_then(|address| memory(&address.to_string(), Path::new("/")));
    Some(match bytes {
        Some(bytes) => format!("{}, {:.1} GiB", identity.name, bytes as f64 / f64::from(1 << 30)),
        None => identity.name,
    })
}

#[cfg(not(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal")))]
pub(super) fn describe(_: &Device) -> Option<String> {
    None
}

/// Bytes of memory of the card at a PCI address such as `0000:07:00.0`: what AMD's driver writes below `root`, usually `/`, else what
/// NVIDIA's says.
#[cfg_attr(not(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal")), allow(dead_code))]
fn memory(address: &str, root: &Path) -> Option<u64> {
    let file = root.join("sys/bus/pci/devices").join(address).join("mem_info_vram_total");
    match std::fs::read_to_string(file) {
        Ok(bytes) => bytes.trim().parse().ok(),
        Err(_) => nvidia_memory(address),
    }
}

#[cfg(all(any(feature = "cuda", feature = "wgpu", feature = "vulkan"), target_os = "linux"))]
fn nvidia_memory(address: &str) -> Option<u64> {
    let library = nvml_wrapper::Nvml::init().ok()?;
    let memory = library.device_by_pci_bus_id(address).ok()?.memory_info().ok()?;
    Some(memory.total)
}

#[cfg(not(all(any(feature = "cuda", feature = "wgpu", feature = "vulkan"), target_os = "linux")))]
fn nvidia_memory(_: &str) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_card_is_what_its_driver_writes() {
        let root = tempfile::tempdir().unwrap();
        let card = root.path().join("sys/bus/pci/devices/0000:07:00.0");
        std::fs::create_dir_all(&card).unwrap();
        assert_eq!(memory("0000:07:00.0", root.path()), None);
        std::fs::write(card.join("mem_info_vram_total"), "17163091968\n").unwrap();
        assert_eq!(memory("0000:07:00.0", root.path()), Some(17_163_091_968));
    }

    #[test]
    fn a_gpu_is_known_by_the_files_of_its_driver() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(PresentGpu::find(root.path()), None);
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join("dev/kfd"), "").unwrap();
        assert_eq!(PresentGpu::find(root.path()).unwrap().maker, "AMD");
        std::fs::create_dir_all(root.path().join("proc/driver/nvidia")).unwrap();
        std::fs::write(root.path().join("proc/driver/nvidia/version"), "").unwrap();
        let found = PresentGpu::find(root.path()).unwrap();
        assert_eq!((found.maker, found.feature, found.is_built), ("NVIDIA", "cuda", cfg!(feature = "cuda")));
    }
}
