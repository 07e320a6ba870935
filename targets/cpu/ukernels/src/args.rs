//! Argument structs of the kernels, as generated code fills them.
//!
//! All are `repr(C)` with public fields, so `core::mem::offset_of!` gives the layout.
//! Extents and strides are counted in elements, never bytes. Activations are NHWC. Pointers marked "or null" may be null.

/// What happens to a sum before it is stored: `y = act(sum + bias[column] + residual[row][column])`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// One value per column (channel), or null.
    pub bias: *const f32,
    /// A matrix of the output's extent, or null. May be the output itself: that accumulates.
    pub residual: *const f32,
    /// Elements between two rows (pixels) of `residual`.
    pub ld_residual: usize,
    /// An [`Activation`] as `u32`.
    pub act: u32,
    /// First parameter of the activation.
    pub lo: f32,
    /// Second parameter of the activation.
    pub hi: f32,
}

impl Epilogue {
    /// Stores the bare sum.
    pub const NONE: Epilogue = Epilogue {
        bias: std::ptr::null(),
        residual: std::ptr::null(),
        ld_residual: 0,
        act: Activation::None as u32,
        lo: 0.0,
        hi: 0.0,
    };
}

/// Activations of an [`Epilogue`]. A NaN stays a NaN through all of them.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    None = 0,
    /// `max(x, 0)`
    Relu = 1,
    /// `min(max(x, lo), hi)`
    Clamp = 2,
    /// `x * (1 + erf(x / sqrt 2)) / 2`
    Gelu = 3,
    /// The tanh form of GELU.
    GeluTanh = 4,
    /// `x * sigmoid(x)`
    Silu = 5,
    /// `1 / (1 + exp(-x))`
    Sigmoid = 6,
    /// `tanh(x)`
    Tanh = 7,
    /// `x * min(max(x / 6 + 1 / 2, 0), 1)`
    HardSwish = 8,
    /// `min(max(lo * x + hi, 0), 1)`
    HardSigmoid = 9,
    /// `x` where `x >= 0`, else `lo * x`
    LeakyRelu = 10,
}

/// Functions of one argument that exist as array map, as `x4` and as `x1`, equal bit for bit.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `e^x`
    Exp = 0,
    /// Natural logarithm; `log(0) = -inf`, `log(x < 0) = nan`.
    Log = 1,
    /// Hyperbolic tangent.
    Tanh = 2,
    /// `1 / (1 + exp(-x))`
    Sigmoid = 3,
    /// Error function.
    Erf = 4,
    /// `x * (1 + erf(x / sqrt 2)) / 2`
    Gelu = 5,
    /// The tanh form of GELU.
    GeluTanh = 6,
    /// `x * sigmoid(x)`
    Silu = 7,
    /// `log(1 + e^x)`
    Softplus = 8,
    /// Square root.
    Sqrt = 9,
    /// Sine.
    Sin = 10,
    /// Cosine.
    Cos = 11,
    /// Tangent; from here on the functions run lane by lane through the C library.
    Tan = 12,
    /// Arc sine.
    Asin = 13,
    /// Arc cosine.
    Acos = 14,
    /// Arc tangent.
    Atan = 15,
    /// Hyperbolic sine.
    Sinh = 16,
    /// Hyperbolic cosine.
    Cosh = 17,
    /// Inverse hyperbolic sine.
    Asinh = 18,
    /// Inverse hyperbolic cosine.
    Acosh = 19,
    /// Inverse hyperbolic tangent.
    Atanh = 20,
    /// `e^x - 1`
    Expm1 = 21,
    /// `log(1 + x)`
    Log1p = 22,
}

impl Unary {
    /// All functions, in the order of their numbers.
    pub const ALL: [Unary; 23] = [
        Unary::Exp,
        Unary::Log,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Erf,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Silu,
        Unary::Softplus,
        Unary::Sqrt,
        Unary::Sin,
        Unary::Cos,
        Unary::Tan,
        Unary::Asin,
        Unary::Acos,
        Unary::Atan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Asinh,
        Unary::Acosh,
        Unary::Atanh,
        Unary::Expm1,
        Unary::Log1p,
    ];
}

/// Indirect matrix product: `c[r][j] = epilogue(sum over tap, i of a[r][tap][i] * b[tap * k + i][j])`.
///
/// `a` holds one pointer to `k` contiguous floats per tap and row. Rows come in tiles of the sizes [`crate::row_tiles`]
/// gives for `rows`; a tile that starts at row `r0` and has `s` rows keeps the pointer of row `r` and tap `t` at
/// `a[taps * r0 + t * s + (r - r0)]`. [`GemmRowsArgs`] and [`ConvRowsArgs`] fill such tables.
///
/// Cutting the rows into several calls keeps every bit. Columns may be cut at panels (multiples of 16).
///
/// A group of a convolution begins `skip` floats behind each pointer: `a[r][tap][skip + i]` takes the place of
/// `a[r][tap][i]`, and with a table `gather`, `a[r][tap][gather[i]]` does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IgemmArgs {
    /// Output rows, at least 1.
    pub rows: usize,
    /// Pointers per row: 1 for a matrix product, `kh * kw` for a convolution.
    pub taps: usize,
    /// Floats of a sum behind each pointer.
    pub k: usize,
    /// Floats behind each pointer that are passed over.
    pub skip: usize,
    /// `k` offsets of floats behind each pointer, or null if they stand one after another.
    pub gather: *const u32,
    /// 1 if the weights are probably in no cache near by, so that each panel asks for the next; 0 otherwise.
    pub cold: usize,
    /// `taps * rows` pointers.
    pub a: *const *const f32,
    /// First panel of packed weights, `(taps * k) x 16` each, as [`PackBArgs`] makes them.
    pub b: *const f32,
    /// First output.
    pub c: *mut f32,
    /// Elements between two output rows.
    pub ldc: usize,
    /// Output columns: all panels are computed, the last one in part.
    pub n: usize,
    /// Bias and residual begin at the first of the `n` columns.
    pub epilogue: Epilogue,
}

/// Product of 1 to 4 rows with many panels; the order of summation depends on `rows`, so a caller never cuts these.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GemvArgs {
    /// 1 to 4.
    pub rows: usize,
    /// Length of the sums.
    pub k: usize,
    /// Columns of the whole matrix.
    pub n: usize,
    /// First row.
    pub a: *const f32,
    /// Elements between two rows.
    pub lda: usize,
    /// Panel 0 of the packed weights.
    pub b: *const f32,
    /// Row 0, column 0 of the output.
    pub c: *mut f32,
    /// Elements between two output rows.
    pub ldc: usize,
    /// First panel to compute.
    pub panel_begin: usize,
    /// One past the last panel to compute.
    pub panel_end: usize,
    /// Bias and residual begin at column 0.
    pub epilogue: Epilogue,
}

/// Product of rows with panels of weights in eight bits: `scale * weight` each, where the scale is one for a column and a
/// block of the sum. The order of summation depends on `rows`, so a caller never cuts these.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EightBitArgs {
    pub rows: usize,
    /// Length of the sums.
    pub k: usize,
    /// Rows of weights that share their scales; the last block may have fewer.
    pub block: usize,
    /// Columns of the whole matrix.
    pub n: usize,
    /// First row.
    pub a: *const f32,
    /// Elements between two rows.
    pub lda: usize,
    /// Panel 0 of the weights, `[panel][k][16]`.
    pub b: *const i8,
    /// `[panel][block][16]`.
    pub scales: *const f32,
    /// Row 0, column 0 of the output.
    pub c: *mut f32,
    /// Elements between two output rows.
    pub ldc: usize,
    /// First panel to compute.
    pub panel_begin: usize,
    /// One past the last panel to compute.
    pub panel_end: usize,
    /// Bias and residual begin at row 0, column 0.
    pub epilogue: Epilogue,
}

/// Fills the pointer table of an [`IgemmArgs`] with the rows of a matrix (`taps` is 1).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GemmRowsArgs {
    /// First row.
    pub a: *const f32,
    /// Elements between two rows.
    pub lda: usize,
    /// Number of rows.
    pub rows: usize,
    /// `rows` pointers.
    pub out: *mut *const f32,
}

/// Extents of a convolution or pooling window over NHWC images.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConvGeom {
    /// Rows of an input image.
    pub in_h: usize,
    /// Pixels of an input row.
    pub in_w: usize,
    /// Elements between two input pixels.
    pub pixel_stride: usize,
    /// Elements between two input rows.
    pub row_stride: usize,
    /// Elements between two input images.
    pub image_stride: usize,
    /// Rows of the window.
    pub kh: usize,
    /// Columns of the window.
    pub kw: usize,
    /// Step of the window, vertically.
    pub stride_h: usize,
    /// Step of the window, horizontally.
    pub stride_w: usize,
    /// Distance of two window rows.
    pub dil_h: usize,
    /// Distance of two window columns.
    pub dil_w: usize,
    /// Rows of padding above.
    pub pad_top: usize,
    /// Columns of padding on the left.
    pub pad_left: usize,
    /// Rows of an output image.
    pub out_h: usize,
    /// Pixels of an output row.
    pub out_w: usize,
}

/// Fills the pointer table of an [`IgemmArgs`] for a convolution (`taps` is `kh * kw`, row-major).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConvRowsArgs {
    /// Window and images.
    pub geom: ConvGeom,
    /// First pixel of the first image, at the first channel of the group.
    pub input: *const f32,
    /// As many zeros as a tap reads; stands for padding.
    pub zero: *const f32,
    /// First output pixel, counted over images, rows and columns.
    pub first: usize,
    /// Output pixels.
    pub rows: usize,
    /// `kh * kw * rows` pointers.
    pub out: *mut *const f32,
}

/// Packs a strided `k x n` matrix into panels of 16 columns, `dst[panel][i][16]`, the last one padded with zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PackBArgs {
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Element (0, 0).
    pub src: *const f32,
    /// Elements from (i, j) to (i + 1, j).
    pub k_stride: usize,
    /// Elements from (i, j) to (i, j + 1).
    pub n_stride: usize,
    /// [`crate::packed_len`] floats.
    pub dst: *mut f32,
}

/// Transposes a matrix: `dst[j * dst_row + i] = src[i * src_row + j]` for `i < rows`, `j < columns`. Source and result do
/// not overlap.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TransposeArgs {
    /// Rows of the source.
    pub rows: usize,
    /// Columns of the source.
    pub columns: usize,
    /// Element (0, 0) of the source, whose rows are contiguous.
    pub src: *const f32,
    /// Elements between two rows of the source.
    pub src_row: usize,
    /// Element (0, 0) of the result, whose rows are contiguous.
    pub dst: *mut f32,
    /// Elements between two rows of the result.
    pub dst_row: usize,
}

/// Depthwise convolution of some output rows of one image, channel multiplier 1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DwconvArgs {
    /// Window and image; `image_stride` is not read.
    pub geom: ConvGeom,
    /// First pixel of the image.
    pub input: *const f32,
    /// `[kh * kw][channels]`, contiguous.
    pub weights: *const f32,
    /// First pixel of the output image.
    pub output: *mut f32,
    /// Elements between two output pixels; rows follow each other without a gap.
    pub out_pixel_stride: usize,
    /// Channels.
    pub channels: usize,
    /// First output row to compute.
    pub row_begin: usize,
    /// One past the last output row to compute.
    pub row_end: usize,
    /// The residual is an image like the output, with `ld_residual` between two pixels.
    pub epilogue: Epilogue,
}

/// Winograd convolution of a 3 x 3 window at stride 1, for some tiles and some panels of columns.
///
/// Tiles are counted over images, rows and columns of tiles; the last of a row or an image may hang over. Cutting tiles
/// or panels into several calls keeps every bit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WinogradArgs {
    /// Window and images; kernel, strides and dilations are not read.
    pub geom: ConvGeom,
    /// Outputs of a tile along one axis: 2 or 4.
    pub outputs: usize,
    /// First pixel of the first image.
    pub input: *const f32,
    /// As many zeros as a pixel has channels; stands for padding.
    pub zero: *const f32,
    /// Channels of the input.
    pub channels: usize,
    /// Weights as [`crate::winograd::Scheme::pack`] makes them.
    pub weights: *const f32,
    /// First pixel of the first output image, at column 0; images follow each other without a gap.
    pub output: *mut f32,
    /// Elements between two output pixels.
    pub out_pixel_stride: usize,
    /// Output columns (channels) of the whole convolution.
    pub columns: usize,
    /// First tile to compute.
    pub tile_begin: usize,
    /// One past the last tile to compute.
    pub tile_end: usize,
    /// First panel of 16 columns to compute.
    pub panel_begin: usize,
    /// One past the last panel to compute.
    pub panel_end: usize,
    /// How much is transformed at a time.
    pub block: WinogradBlock,
    /// [`WinogradBlock::scratch_len`] floats, on a cache line.
    pub scratch: *mut f32,
    /// Bias begins at column 0, the residual is images like the output.
    pub epilogue: Epilogue,
}

/// How much of a [`WinogradArgs`] is transformed at a time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinogradBlock {
    /// Tiles whose inputs are transformed together, at most.
    pub tiles: usize,
    /// Panels whose products lie in memory together, at most.
    pub panels: usize,
}

/// Strassen's product of a matrix with packed weights, for some rows of both of its halves and some panels of columns of
/// both halves of the weights. Cutting rows or panels into several calls keeps every bit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StrassenArgs {
    /// Rows of a half: row `r` of the lower half is row `rows + r`.
    pub rows: usize,
    /// Half the length of the sums, a multiple of 16.
    pub k: usize,
    /// Panels of 16 columns of a half.
    pub panels: usize,
    /// First row.
    pub a: *const f32,
    /// Elements between two rows.
    pub lda: usize,
    /// Weights as [`crate::strassen::pack_panel`] makes them.
    pub b: *const f32,
    /// Row 0, column 0 of the output, which does not overlap the input; it holds sums before it holds results.
    pub c: *mut f32,
    /// Elements between two output rows.
    pub ldc: usize,
    /// First row of a half to compute.
    pub row_begin: usize,
    /// One past the last row of a half to compute.
    pub row_end: usize,
    /// First panel of a half to compute.
    pub panel_begin: usize,
    /// One past the last panel of a half to compute.
    pub panel_end: usize,
    /// Rows of a half that are worked on together: all weights stream once for them.
    pub block: usize,
    /// `block * k` floats.
    pub scratch: *mut f32,
    /// Bias and residual begin at row 0, column 0. The residual is the output itself or does not overlap it.
    pub epilogue: Epilogue,
}

/// Terms of products of matrices with one vector: `out[m][r] = sum[m][r] + Σ over t of left[t][m][r] * p[t][m]`, where
/// `p[t][m] = Σ over k of right[t][m][k] * z[columns[t][m][k]]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TermsArgs {
    /// At least 1.
    pub terms: usize,
    pub matrices: usize,
    /// Rows of each matrix.
    pub rows: usize,
    /// Columns that a term keeps.
    pub keep: usize,
    /// `matrices * rows` floats.
    pub sum: *const f32,
    /// The vector.
    pub z: *const f32,
    /// `terms * matrices * rows` floats.
    pub left: *const f32,
    /// `terms * matrices * keep` floats.
    pub right: *const f32,
    /// As many indices into the vector; null if every term keeps all columns, in order.
    pub columns: *const u32,
    /// `matrices * rows` floats; may be `sum`, and overlaps nothing else.
    pub out: *mut f32,
}

/// What a [`PoolArgs`] computes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Largest element; NaN if the window has one; `-inf` if the window lies in the padding.
    Max = 0,
    /// Mean of the elements inside the image; 0 if there is none.
    AverageExcludePad = 1,
    /// Mean over window positions inside the padded image (an overhang of `ceil_mode` does not count).
    AverageIncludePad = 2,
}

/// Pooling of some output rows of one image.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PoolArgs {
    /// Window and image; `image_stride` is not read.
    pub geom: ConvGeom,
    /// Rows of padding below.
    pub pad_bottom: usize,
    /// Columns of padding on the right.
    pub pad_right: usize,
    /// A [`PoolKind`] as `u32`.
    pub kind: u32,
    /// First pixel of the image.
    pub input: *const f32,
    /// First pixel of the output image.
    pub output: *mut f32,
    /// Elements between two output pixels; rows follow each other without a gap.
    pub out_pixel_stride: usize,
    /// Channels.
    pub channels: usize,
    /// First output row to compute.
    pub row_begin: usize,
    /// One past the last output row to compute.
    pub row_end: usize,
}

/// A map over contiguous rows (softmax, log-softmax). `y` may be `x`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RowsArgs {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub len: usize,
    /// First input row.
    pub x: *const f32,
    /// Elements between two input rows.
    pub ldx: usize,
    /// First output row.
    pub y: *mut f32,
    /// Elements between two output rows.
    pub ldy: usize,
}

/// Layer norm `(x - mean) / sqrt(variance + eps) * gamma + beta`, or RMS norm `x / sqrt(mean(x^2) + eps) * gamma`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NormArgs {
    /// What and where.
    pub rows: RowsArgs,
    /// `len` factors, or null.
    pub gamma: *const f32,
    /// `len` summands, or null; the RMS norm does not read it.
    pub beta: *const f32,
    /// Keeps the root away from zero.
    pub eps: f32,
}

/// Local response norm over the channels of each pixel (a row is a pixel):
/// `x / (bias + alpha / size * sum of x^2 over the window)^beta`. `y` may not be `x`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LrnArgs {
    /// What and where.
    pub rows: RowsArgs,
    /// Channels in the window: `(size - 1) / 2` before, `size / 2` after.
    pub size: usize,
    /// Factor.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Summand.
    pub bias: f32,
}

/// What a [`ReduceArgs`] computes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Sum.
    Sum = 0,
    /// Mean.
    Mean = 1,
    /// Largest element; NaN if there is one; `-inf` of nothing.
    Max = 2,
    /// Smallest element; NaN if there is one; `inf` of nothing.
    Min = 3,
    /// Sum of squares.
    SumSquare = 4,
    /// Sum of absolute values.
    SumAbs = 5,
    /// Product.
    Product = 6,
}

/// Reduces contiguous rows to one float each.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReduceArgs {
    /// A [`Reduction`] as `u32`.
    pub op: u32,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub len: usize,
    /// First row.
    pub x: *const f32,
    /// Elements between two rows.
    pub ldx: usize,
    /// `rows` results, contiguous.
    pub y: *mut f32,
}

/// Packs recurrent weights `r[gates * hidden][hidden]` (ONNX) into `dst[block][i][gates][8]`:
/// a block is 8 hidden units, the last one padded with zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PackRecurrentArgs {
    /// 4 for LSTM, 3 for GRU.
    pub gates: usize,
    /// Hidden units.
    pub hidden: usize,
    /// The ONNX matrix of one direction.
    pub src: *const f32,
    /// [`crate::recurrent_packed_len`] floats.
    pub dst: *mut f32,
}

/// One time step of an LSTM for some blocks of 8 hidden units, gates in ONNX order (i, o, f, c).
///
/// The order of summation depends on `rows` (1, or more), so a caller cuts blocks, never rows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LstmCellArgs {
    /// Sequences in the batch.
    pub rows: usize,
    /// Hidden units.
    pub hidden: usize,
    /// First block to compute.
    pub block_begin: usize,
    /// One past the last block to compute.
    pub block_end: usize,
    /// `[rows][4][hidden]`: input times `W`, with both biases added.
    pub x_proj: *const f32,
    /// Elements between two rows of `x_proj`.
    pub ld_x_proj: usize,
    /// Recurrent weights from [`PackRecurrentArgs`].
    pub r: *const f32,
    /// Hidden state before the step.
    pub h_prev: *const f32,
    /// Elements between two rows of `h_prev`.
    pub ld_h_prev: usize,
    /// Cell state before the step.
    pub c_prev: *const f32,
    /// Elements between two rows of `c_prev`.
    pub ld_c_prev: usize,
    /// Hidden state after the step; not `h_prev`.
    pub h: *mut f32,
    /// Elements between two rows of `h`.
    pub ld_h: usize,
    /// Cell state after the step; may be `c_prev`.
    pub c: *mut f32,
    /// Elements between two rows of `c`.
    pub ld_c: usize,
    /// `[3][hidden]` peephole weights in ONNX order (i, o, f), or null.
    pub peephole: *const f32,
    /// Gates are clipped to `-clip..clip` before their activation; infinity for none.
    pub clip: f32,
}

/// One half of a time step of a GRU with `linear_before_reset = 0`, gates in ONNX order (z, r, h); cut as for
/// [`LstmCellArgs`]. The first half makes the gates z and r of all units, the second one the state.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GruHalfArgs {
    /// Sequences in the batch.
    pub rows: usize,
    /// Hidden units.
    pub hidden: usize,
    /// First block to compute.
    pub block_begin: usize,
    /// One past the last block to compute.
    pub block_end: usize,
    /// `[rows][3][hidden]`: input times `W`, with both biases added.
    pub x_proj: *const f32,
    /// Elements between two rows of `x_proj`.
    pub ld_x_proj: usize,
    /// Recurrent weights from [`PackRecurrentArgs`]: in the first half those of 2 gates, then that of h.
    pub r: *const f32,
    /// Hidden state before the step.
    pub h_prev: *const f32,
    /// Elements between two rows of `h_prev`.
    pub ld_h_prev: usize,
    /// Hidden state before the step times the gate r, which the first half leaves to the second.
    pub reset: *mut f32,
    /// Elements between two rows of `reset`.
    pub ld_reset: usize,
    /// Hidden state after the step, not `h_prev`; between the halves the gate z.
    pub h: *mut f32,
    /// Elements between two rows of `h`.
    pub ld_h: usize,
    /// Gates are clipped to `-clip..clip` before their activation; infinity for none.
    pub clip: f32,
}

/// One time step of a GRU with `linear_before_reset = 1`, gates in ONNX order (z, r, h); cut as for [`LstmCellArgs`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GruCellArgs {
    /// Sequences in the batch.
    pub rows: usize,
    /// Hidden units.
    pub hidden: usize,
    /// First block to compute.
    pub block_begin: usize,
    /// One past the last block to compute.
    pub block_end: usize,
    /// `[rows][3][hidden]`: input times `W`, with `Wb` and the z and r parts of `Rb` added.
    pub x_proj: *const f32,
    /// Elements between two rows of `x_proj`.
    pub ld_x_proj: usize,
    /// Recurrent weights from [`PackRecurrentArgs`].
    pub r: *const f32,
    /// `hidden` values, the h part of `Rb`, or null.
    pub recurrent_bias: *const f32,
    /// Hidden state before the step.
    pub h_prev: *const f32,
    /// Elements between two rows of `h_prev`.
    pub ld_h_prev: usize,
    /// Hidden state after the step; not `h_prev`.
    pub h: *mut f32,
    /// Elements between two rows of `h`.
    pub ld_h: usize,
    /// Gates are clipped to `-clip..clip` before their activation; infinity for none.
    pub clip: f32,
}
