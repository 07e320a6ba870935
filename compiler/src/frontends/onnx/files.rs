//! Which files a model consists of beside itself.

use std::collections::BTreeSet;
use std::path::Path;

use lepid_ir::core::Bytes;
use prost::Message;

use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::weights::Weights;

/// The files of external data that the tensors of a model name, sorted by those names. A model that
/// cannot be read has none, and neither has a name that leads nowhere: importing reports both.
pub(crate) fn external_files(path: &Path) -> Vec<(String, Bytes)> {
    let file = Bytes::map_file(path).ok();
    let model = file.and_then(|file| ModelProto::decode(bytes::Bytes::from_owner(file)).ok());
    let Some(model) = model else {
        return Vec::new();
    };
    let mut names = BTreeSet::new();
    model
        .graph
        .iter()
        .for_each(|graph| of_graph(graph, &mut names));
    model
        .functions
        .iter()
        .for_each(|f| of_nodes(&f.node, &mut names));
    let mut weights = Weights::new(Some(super::folder_of(path)), None);
    let names = names.into_iter();
    names
        .filter_map(|name| {
            let bytes = weights.file(&name).ok()?;
            Some((name, bytes))
        })
        .collect()
}

fn of_graph(graph: &GraphProto, names: &mut BTreeSet<String>) {
    graph
        .initializer
        .iter()
        .for_each(|tensor| of_tensor(tensor, names));
    of_nodes(&graph.node, names);
}

fn of_nodes(nodes: &[NodeProto], names: &mut BTreeSet<String>) {
    for attribute in nodes.iter().flat_map(|node| &node.attribute) {
        let tensors = attribute.t.iter().chain(&attribute.tensors);
        tensors.for_each(|tensor| of_tensor(tensor, names));
        let graphs = attribute.g.iter().chain(&attribute.graphs);
        graphs.for_each(|graph| of_graph(graph, names));
    }
}

fn of_tensor(tensor: &TensorProto, names: &mut BTreeSet<String>) {
    if tensor.data_location == 1 {
        let location = tensor.external_data.iter().find(|e| e.key == "location");
        names.extend(location.map(|e| e.value.clone()));
    }
}
