//! The types of tensor elements: their numbers in files, names and block sizes. What is inside a block is the
//! business of the kernels.

/// Declares [`Kind`] and its tables from one list: `variant = number, name, elements of a block, bytes of a block`.
macro_rules! kinds {
    ($($kind:ident = $id:literal, $name:literal, $elements:literal, $bytes:literal;)*) => {
        /// A type of tensor elements, as ggml numbers them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(non_camel_case_types, reason = "these are the field's names")]
        #[non_exhaustive]
        pub enum Kind {
            $(
                #[doc = concat!("`", $name, "`: ", $elements, " elements in ", $bytes, " bytes.")]
                $kind = $id,
            )*
        }

        impl Kind {
            /// Every type, by number.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The type of this number; `None` for numbers that are unknown or withdrawn.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$kind),)* _ => None }
            }

            /// The name that the field uses, such as `"Q4_K"`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// Elements of a block, 1 for types without blocks. A row is a whole number of blocks.
            pub fn block_elements(self) -> u64 {
                match self { $(Self::$kind => $elements,)* }
            }

            /// Bytes of a block.
            pub fn block_bytes(self) -> u64 {
                match self { $(Self::$kind => $bytes,)* }
            }
        }
    };
}

kinds! {
    F32 = 0, "F32", 1, 4;
    F16 = 1, "F16", 1, 2;
    Q4_0 = 2, "Q4_0", 32, 18;
    Q4_1 = 3, "Q4_1", 32, 20;
    Q5_0 = 6, "Q5_0", 32, 22;
    Q5_1 = 7, "Q5_1", 32, 24;
    Q8_0 = 8, "Q8_0", 32, 34;
    Q8_1 = 9, "Q8_1", 32, 36;
    Q2_K = 10, "Q2_K", 256, 84;
    Q3_K = 11, "Q3_K", 256, 110;
    Q4_K = 12, "Q4_K", 256, 144;
    Q5_K = 13, "Q5_K", 256, 176;
    Q6_K = 14, "Q6_K", 256, 210;
    Q8_K = 15, "Q8_K", 256, 292;
    IQ2_XXS = 16, "IQ2_XXS", 256, 66;
    IQ2_XS = 17, "IQ2_XS", 256, 74;
    IQ3_XXS = 18, "IQ3_XXS", 256, 98;
    IQ1_S = 19, "IQ1_S", 256, 50;
    IQ4_NL = 20, "IQ4_NL", 32, 18;
    IQ3_S = 21, "IQ3_S", 256, 110;
    IQ2_S = 22, "IQ2_S", 256, 82;
    IQ4_XS = 23, "IQ4_XS", 256, 136;
    I8 = 24, "I8", 1, 1;
    I16 = 25, "I16", 1, 2;
    I32 = 26, "I32", 1, 4;
    I64 = 27, "I64", 1, 8;
    F64 = 28, "F64", 1, 8;
    IQ1_M = 29, "IQ1_M", 256, 56;
    BF16 = 30, "BF16", 1, 2;
    TQ1_0 = 34, "TQ1_0", 256, 54;
    TQ2_0 = 35, "TQ2_0", 256, 66;
    MXFP4 = 39, "MXFP4", 32, 17;
    NVFP4 = 40, "NVFP4", 64, 36;
    Q1_0 = 41, "Q1_0", 128, 18;
    Q2_0 = 42, "Q2_0", 64, 18;
}

impl Kind {
    /// The number in files.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// Bytes of a tensor of this shape (row length first), or `None` where the row is not a whole number of blocks
    /// or the size does not fit 64 bits.
    pub fn bytes(self, dimensions: &[u64]) -> Option<u64> {
        let (columns, rows) = dimensions.split_first()?;
        if columns % self.block_elements() != 0 {
            return None;
        }
        let row = (columns / self.block_elements()).checked_mul(self.block_bytes())?;
        // Elements must be countable too: they are more than the bytes for types under 8 bits.
        dimensions.iter().try_fold(1u64, |product, &next| product.checked_mul(next))?;
        rows.iter().try_fold(row, |product, &next| product.checked_mul(next))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
