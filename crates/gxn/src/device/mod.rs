//! [`DeviceChoice`]: what computes, the CPU or a GPU of this machine. The one place that turns the choice into a device of the
//! tensor framework; nothing else may rely on a default, which changes with the features of the build.

mod card;

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

pub use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::tensor::DeviceType;
use burn::tensor::Tensor;
pub use card::PresentGpu;
use serde::{Deserialize, Serialize};

use gxn_base::words::counted;
use gxn_base::{Error, Remedy, Result};

/// The GPUs that this process has opened, in that order.
static OPEN_GPUS: Mutex<Vec<(DeviceChoice, Device)>> = Mutex::new(Vec::new());

/// What a device is reached through. All but the CPU need the feature of their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Interface {
    #[default]
    Cpu,
    Cuda,
    Wgpu,
    Vulkan,
    Metal,
}

impl Interface {
    const ALL: [Self; 5] = [Self::Cpu, Self::Cuda, Self::Wgpu, Self::Vulkan, Self::Metal];

    /// Its name, which is also that of its feature.
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
        }
    }

    /// What finds its devices, in the order of their driver; none where this build lacks the interface.
    fn enumeration(self) -> Option<fn() -> Vec<Device>> {
        match self {
            Self::Cpu => Some(|| vec![Device::flex()]),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(|| Device::enumerate(DeviceType::Cuda).into_vec()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(|| Device::enumerate(DeviceType::Wgpu).into_vec()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(|| Device::enumerate(DeviceType::Vulkan).into_vec()),
            #[cfg(feature = "metal")]
            Self::Metal => Some(|| Device::enumerate(DeviceType::Metal).into_vec()),
            #[allow(unreachable_patterns)] // in a build with every feature
            _ => None,
        }
    }

    /// Whether this build has it.
    fn is_built(self) -> bool {
        self.enumeration().is_some()
    }
}

/// The CPU, or a GPU by its interface and number: `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan:2`, `metal`. Without a number it is
/// the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceChoice {
    interface: Interface,
    number: Option<usize>,
}

impl DeviceChoice {
    /// The CPU.
    pub const CPU: Self = Self { interface: Interface::Cpu, number: None };

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.interface == Interface::Cpu
    }

    /// The device; a GPU after a first sum on it that shows that it computes. One that is open is not opened again.
    ///
    /// # Errors
    /// When this build lacks the interface, this machine has no such device, or the device does not compute.
    pub fn open(self) -> Result<Device> {
        let mut open = OPEN_GPUS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, device)) = open.iter().find(|(choice, _)| *choice == self) {
            return Ok(device.clone());
        }
        let what = format!("the device {self}");
        let Some(enumerate) = self.interface.enumeration() else {
            let name = self.interface.name();
            return Err(Error::unsupported(
                what,
                format!("a build without {name}"),
                format!("one with the feature {name}"),
            )
            .with_remedy(Remedy::BuildWith(name)));
        };
        let (mut devices, number) = (enumerate(), self.number.unwrap_or(0));
        if number >= devices.len() {
            let found = format!("{} of {}", counted(devices.len(), "device"), self.interface.name());
            let expected = if devices.is_empty() { "at least one".into() } else { "a number below that".to_owned() };
            return Err(Error::not_found(what, found, expected).with_remedy(Remedy::ChooseDevice));
        }
        let device = devices.swap_remove(number);
        if !self.is_cpu() {
            computes(&device)
                .map_err(|found| Error::unsupported(what, found, "a sum").with_remedy(Remedy::ChooseDevice))?;
            open.push((self, device.clone()));
        }
        Ok(device)
    }

    /// The result of `work`, which is called `what` and reads `pairs` pairs of a batch. The interfaces of GPUs panic when a result
    /// is read that could not be computed.
    ///
    /// # Errors
    /// When `work` panics: for want of memory with the number of pairs to try, else with what was said.
    pub(crate) fn guarded<T>(self, what: &str, pairs: usize, work: impl FnOnce() -> T) -> Result<T> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
            if !is_out_of_memory(&panic_text(&*panic)) {
                return self.failure(what, &*panic);
            }
            let found = format!("too little memory for {}", counted(pairs, "pair"));
            let remedy = if pairs < 4 { Remedy::ChooseDevice } else { Remedy::SmallerBatch(pairs / 2) };
            Error::unsupported(format!("{what} on {self}"), found, "room for a batch").with_remedy(remedy)
        })
    }

    /// The error for a panic of work on this device, which is called `what`.
    pub fn failure(self, what: &str, panic: &(dyn Any + Send)) -> Error {
        let said = panic_text(panic);
        let (found, expected) =
            if is_out_of_memory(&said) { ("too little memory".into(), "room for it") } else { (said, "a result") };
        Error::unsupported(format!("{what} on {self}"), found, expected).with_remedy(Remedy::ChooseDevice)
    }

    /// The GPU that this process opened last, if it opened one: where something panics, its interface may be the cause.
    pub fn gpu_in_use() -> Option<Self> {
        OPEN_GPUS.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(choice, _)| *choice)
    }

    /// What the device is called: for a GPU its interface, its own name and, where its driver says so, its memory.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`].
    pub fn describe(self) -> Result<String> {
        if self.is_cpu() {
            return Ok(format!("CPU ({})", instruction_sets()));
        }
        Ok(card::describe(&self.open()?).map_or_else(|| self.to_string(), |card| format!("{self} ({card})")))
    }
}

/// Adds two numbers on the device; the error is what came instead. A driver that cannot be used panics below.
fn computes(device: &Device) -> std::result::Result<(), String> {
    let sum = || (Tensor::<1>::ones([2], device) + 1.0).sum().try_into_scalar::<f32>();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(sum)) {
        Ok(Ok(4.0)) => Ok(()),
        Ok(Ok(found)) => Err(format!("{found} for 2 + 2")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(panic_text(&*panic)),
    }
}

/// Whether a device had too little memory, in the words of its interface.
fn is_out_of_memory(said: &str) -> bool {
    let said = said.to_lowercase();
    ["out of device memory", "out of memory", "out-of-memory", "outofmemory", "can't allocate"]
        .iter()
        .any(|words| said.contains(words))
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

/// Instruction sets that the kernels of the CPU use.
pub(crate) fn instruction_sets() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
        ];
        let found: Vec<&str> = sets.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        format!("x86_64 {}", found.join("+"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_string()
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface.name())?;
        self.number.map_or(Ok(()), |number| write!(f, ":{number}"))
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            Error::invalid(
                "the device",
                format!("{text:?}"),
                "cpu, cuda, cuda:N, wgpu, wgpu:N, vulkan, vulkan:N or metal",
            )
        };
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let interface = Interface::ALL.into_iter().find(|interface| interface.name() == name).ok_or_else(refused)?;
        let number = number.map(|number| number.parse::<usize>().map_err(|_| refused())).transpose()?;
        let has_numbers = !matches!(interface, Interface::Cpu | Interface::Metal);
        if number.is_some() && !has_numbers { Err(refused()) } else { Ok(Self { interface, number }) }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_base::Kind;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in ["cpu", "cuda", "cuda:1", "wgpu", "wgpu:0", "vulkan:12", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:one", "cpu:0", "metal:1", "wgpu:0:1", " cpu"] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert_eq!((error.kind(), error.found()), (Kind::Invalid, Some(format!("{text:?}").as_str())));
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(DeviceChoice::default(), "cpu".parse().unwrap());
        assert_eq!(DeviceChoice::CPU.open().unwrap(), Device::flex());
        assert!(DeviceChoice::CPU.describe().unwrap().starts_with("CPU ("));
    }

    #[test]
    fn what_is_not_built_in_names_its_feature() {
        for interface in Interface::ALL.into_iter().filter(|interface| !interface.is_built()) {
            let error = DeviceChoice { interface, number: None }.open().unwrap_err();
            assert_eq!((error.kind(), error.remedy()), (Kind::Unsupported, Some(&Remedy::BuildWith(interface.name()))));
        }
    }

    #[test]
    fn a_number_beyond_the_devices_is_refused_with_how_many_there_are() {
        for interface in Interface::ALL.into_iter().filter(|interface| interface.is_built()) {
            let count = interface.enumeration().unwrap()().len();
            let error = DeviceChoice { interface, number: Some(count) }.open().unwrap_err();
            let found = format!("{} of {}", counted(count, "device"), interface.name());
            assert_eq!((error.kind(), error.found()), (Kind::NotFound, Some(found.as_str())));
        }
    }

    #[test]
    fn too_little_memory_names_the_batch_to_try() {
        let device: DeviceChoice = "wgpu".parse().unwrap();
        assert_eq!(device.guarded("step 1", 64, || 7).unwrap(), 7);
        // What lavapipe and a device without room say.
        for said in ["An IO error happened\nCaused by:\n  can't allocate buffer of size: 9", "out of device memory"] {
            let error = device.guarded("step 1", 64, || panic!("{said}")).unwrap_err();
            assert_eq!((error.what(), error.remedy()), ("step 1 on wgpu", Some(&Remedy::SmallerBatch(32))));
        }
        let error = device.guarded("step 1", 3, || panic!("Out of Memory")).unwrap_err();
        assert_eq!(error.remedy(), Some(&Remedy::ChooseDevice));
        let error = device.guarded("step 1", 64, || panic!("lost")).unwrap_err();
        assert_eq!((error.found(), error.remedy()), (Some("lost"), Some(&Remedy::ChooseDevice)));
        let error = device.failure("index", &"out of device memory");
        assert_eq!((error.what(), error.found()), ("index on wgpu", Some("too little memory")));
    }
}
