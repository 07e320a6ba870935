//! `op!`: declares the shape of an op.

/// Declares an op: its name, operands with type rules, attributes with kinds and defaults,
/// results, regions and facts. The meaning follows in `impl OpDef`.
///
/// ```text
/// op! {
///     /// Concatenates tensors along `axis`.
///     "tensor.concat" => Concat {
///         operands: [first: TENSOR; rest: TENSOR],     // `; rest` takes zero or more
///         attributes: [axis: Int, mode: Str = "fast"], // without a default: required
///         results: [y],                                // `[; outputs]` for any number
///         regions: [body],                             // `[; branches]` for any number
///         traits: [Pure],
///     }
/// }
/// ```
///
/// Generates the unit struct, `INFO`, one accessor per operand and attribute (taking an
/// `OpView`), and `build(b, operands, attributes)`, which gives the op. Sections keep this order;
/// `attributes`, `regions` and `traits` may be left out.
#[macro_export]
macro_rules! op {
    (
        $(#[doc = $doc:literal])*
        $name:literal => $ty:ident {
            operands: [$($operand:ident: $rule:ident),* $(,)? $(; $rest:ident: $rest_rule:ident)?],
            $(attributes: [$($attr:ident: $kind:ident $(= $default:expr)?),* $(,)?],)?
            results: [$($result:ident),* $(,)? $(; $rest_results:ident)?],
            $(regions: [$($region:ident),* $(,)? $(; $rest_regions:ident)?],)?
            $(traits: [$($fact:ident),* $(,)?],)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Copy, Clone, Debug)]
        pub struct $ty;

        #[allow(dead_code, reason = "accessors are generated for every operand and attribute")]
        impl $ty {
            pub const INFO: $crate::core::OpInfo = $crate::core::OpInfo {
                name: $name,
                doc: concat!($($doc, "\n"),*),
                operands: &[$($crate::core::OperandInfo {
                    name: stringify!($operand),
                    rule: &$crate::core::rule::$rule,
                }),*],
                rest: $crate::op!(@rest $($rest: $rest_rule)?),
                attrs: &[$($($crate::core::AttrInfo {
                    name: stringify!($attr),
                    kind: <$crate::core::kind::$kind as $crate::core::AttrType>::KIND,
                    default: $crate::op!(@default $($default)?),
                }),*)?],
                results: $crate::core::ResultInfo {
                    fixed: &[$(stringify!($result)),*],
                    rest: $crate::op!(@name $($rest_results)?),
                },
                regions: &[$($(stringify!($region)),*)?],
                rest_regions: $crate::op!(@name $($($rest_regions)?)?),
                traits: &[$($($crate::core::Trait::$fact),*)?],
            };

            /// Builds the op at the builder's point.
            pub fn build(
                b: &mut $crate::core::Builder<'_>,
                operands: &[$crate::core::Value],
                attrs: &[(&str, $crate::core::Attr)],
            ) -> $crate::core::OpResult<$crate::core::Op> {
                b.create(&$ty, operands, attrs)
            }

            $(pub fn $operand(op: $crate::core::OpView<'_>) -> $crate::core::Value {
                op.operand_named(stringify!($operand))
            })*

            $(pub fn $rest(op: $crate::core::OpView<'_>) -> &[$crate::core::Value] {
                &op.operands()[Self::INFO.operands.len()..]
            })?

            $($(pub fn $attr(op: $crate::core::OpView<'_>)
                -> <$crate::core::kind::$kind as $crate::core::AttrType>::Get<'_>
            {
                <$crate::core::kind::$kind as $crate::core::AttrType>::get(op.attr(stringify!($attr)))
            })*)?
        }
    };
    (@rest) => { None };
    (@rest $rest:ident: $rule:ident) => {
        Some($crate::core::OperandInfo {
            name: stringify!($rest),
            rule: &$crate::core::rule::$rule,
        })
    };
    (@default) => { None };
    (@default $default:expr) => { Some(|| $crate::core::Attr::from($default)) };
    (@name) => { None };
    (@name $name:ident) => { Some(stringify!($name)) };
}
