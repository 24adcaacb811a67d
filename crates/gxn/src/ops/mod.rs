//! Fused operations with hand-written backward passes, each tested against its plain form.
