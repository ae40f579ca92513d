//! Empty: the packages are wanted, not their code.
