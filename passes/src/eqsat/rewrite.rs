//! Rules of the tables, ready to be searched for and applied.

use egg::{
    ENodeOrVar, Id, MultiPattern, Pattern, PatternAst, RecExpr, SearchMatches, Searcher, Subst,
    Symbol, Var,
};
use lepid_ir::core::{Attr, OpInfo, Registry, Trait};

use super::facts::{Facts, Graph, Sort};
use super::language::{Node, OpName};
use super::notation::Term;
use super::rules::RuleDef;

/// A rule that is ready to be searched for and applied.
pub(super) struct Rule {
    pub(super) def: &'static RuleDef,
    /// One for each op that a group stands for.
    pub(super) cases: Vec<Case>,
}

/// A rule for certain ops.
pub(super) struct Case {
    /// The left sides; more than one where operands may stand in either order.
    lefts: Vec<Left>,
    conditions: Vec<Term>,
    /// What each root becomes.
    rights: Vec<Term>,
    /// The left sides as they were read.
    #[cfg(test)]
    pub(super) terms: Vec<Term>,
}

/// What is searched for.
enum Left {
    One(Pattern<Node>),
    /// Several roots under variables of their own.
    Many(MultiPattern<Node>, Vec<(Var, PatternAst<Node>)>),
}

/// A place where a case fits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Match {
    left: usize,
    /// The classes of the roots.
    pub(super) roots: Vec<Id>,
    pub(super) subst: Subst,
}

/// Ops that a rule may name together.
struct Group {
    name: &'static str,
    admits: fn(&OpInfo) -> bool,
}

const GROUPS: &[Group] = &[
    Group {
        name: "*unary",
        admits: |op| is_elementwise(op, 1),
    },
    Group {
        name: "*binary",
        admits: |op| is_elementwise(op, 2),
    },
    Group {
        name: "*commutative",
        admits: |op| op.has(Trait::Commutative),
    },
];

fn is_elementwise(op: &OpInfo, operands: usize) -> bool {
    op.has(Trait::Elementwise) && op.operands.len() == operands && op.rest.is_none()
}

impl Rule {
    /// Reads a rule. What is wrong with one is for its author; the tests compile them all.
    pub(super) fn compile(def: &'static RuleDef, ops: &Registry) -> Result<Rule, String> {
        let group = GROUPS.iter().find(|group| def.left.contains(group.name));
        let cases: Result<Vec<Case>, String> = match group {
            None => Case::compile(def, ops, |text| text.to_string()).map(|case| vec![case]),
            Some(group) => {
                let infos = ops.iter().map(|op| op.info());
                let members = infos.filter(|info| (group.admits)(info));
                let case = |info: &OpInfo| {
                    Case::compile(def, ops, |text| text.replace(group.name, info.name))
                };
                members.map(case).collect()
            }
        };
        let cases = cases.map_err(|error| format!("rule `{}`: {error}", def.name))?;
        Ok(Rule { def, cases })
    }

    /// Whether it joins several roots.
    pub(super) fn joins(&self) -> bool {
        self.cases.iter().any(|case| case.rights.len() > 1)
    }

    /// All matches, at most so many for each case.
    pub(super) fn search(&self, graph: &Graph, limit: usize) -> Vec<(usize, Match)> {
        let cases = self.cases.iter().enumerate();
        cases
            .flat_map(|(i, case)| case.search(graph, limit).into_iter().map(move |m| (i, m)))
            .collect()
    }

    /// Adds what a match becomes. Whether anything was new; nothing if the rule does not apply there
    /// by what is known now.
    pub(super) fn apply(&self, graph: &mut Graph, case: usize, found: &Match) -> Option<bool> {
        self.cases[case].apply(graph, found, Symbol::from(self.def.name))
    }
}

impl Case {
    fn compile(
        def: &RuleDef,
        ops: &Registry,
        fill: impl Fn(&str) -> String,
    ) -> Result<Case, String> {
        let read_all = |text: &str| -> Result<Vec<Term>, String> {
            let text = fill(text);
            text.split('&').map(|part| Term::parse(part, ops)).collect()
        };
        let (terms, rights) = (read_all(def.left)?, read_all(def.right)?);
        let conditions = def.conditions.iter().map(|c| Term::parse(&fill(c), ops));
        let conditions: Vec<Term> = conditions.collect::<Result<_, _>>()?;
        let bound: Vec<&str> = terms.iter().flat_map(Term::vars).collect();
        for used in rights.iter().chain(&conditions) {
            if let Some(free) = used.vars().into_iter().find(|v| !bound.contains(v)) {
                return Err(format!("`{free}` is not bound"));
            }
        }
        if terms.len() != rights.len() {
            return Err("there are not as many right sides as left sides".to_string());
        }
        let lefts = match terms.as_slice() {
            [term] => {
                let orders = term.orders();
                let patterns = orders.iter().map(|t| Left::One(Pattern::new(pattern(t))));
                patterns.collect()
            }
            several => {
                let roots = several.iter().enumerate();
                let roots: Vec<(Var, PatternAst<Node>)> = roots
                    .map(|(i, t)| (Var::from_u32(i as u32), pattern(t)))
                    .collect();
                vec![Left::Many(MultiPattern::new(roots.clone()), roots)]
            }
        };
        Ok(Case {
            lefts,
            conditions,
            rights,
            #[cfg(test)]
            terms,
        })
    }

    pub(super) fn search(&self, graph: &Graph, limit: usize) -> Vec<Match> {
        let mut matches = Vec::new();
        for (i, left) in self.lefts.iter().enumerate() {
            let found: Vec<SearchMatches<'_, Node>> = match left {
                Left::One(pattern) => pattern.search_with_limit(graph, limit),
                Left::Many(pattern, _) => pattern.search_with_limit(graph, limit),
            };
            for SearchMatches { eclass, substs, .. } in found {
                for subst in substs {
                    let roots = match left {
                        Left::One(_) => vec![eclass],
                        Left::Many(_, roots) => roots.iter().map(|(v, _)| subst[*v]).collect(),
                    };
                    // Roots in another order are the same find.
                    if roots.windows(2).all(|pair| pair[0] < pair[1]) {
                        matches.push(Match {
                            left: i,
                            roots,
                            subst,
                        });
                    }
                }
            }
        }
        matches
    }

    fn apply(&self, graph: &mut Graph, found: &Match, name: Symbol) -> Option<bool> {
        let rights = self.instances(graph, found)?;
        let mut merged = false;
        for (i, (right, &root)) in rights.iter().zip(&found.roots).enumerate() {
            merged |= match graph.are_explanations_enabled() {
                true => {
                    let left = match &self.lefts[found.left] {
                        Left::One(pattern) => &pattern.ast,
                        Left::Many(_, roots) => &roots[i].1,
                    };
                    graph
                        .union_instantiations(left, right, &found.subst, name)
                        .1
                }
                false => {
                    let new = graph.add_instantiation(right, &found.subst);
                    graph.union(root, new)
                }
            };
        }
        Some(merged)
    }

    /// What a match becomes: nothing if a condition does not hold or a type does not fit.
    pub(super) fn instances(
        &self,
        graph: &mut Graph,
        found: &Match,
    ) -> Option<Vec<PatternAst<Node>>> {
        let mut site = Site {
            graph,
            subst: &found.subst,
            nodes: RecExpr::default(),
        };
        for condition in &self.conditions {
            if site.facts(condition)?.as_attr() != Some(&Attr::Bool(true)) {
                return None;
            }
        }
        let mut instances = Vec::new();
        for (right, &root) in self.rights.iter().zip(&found.roots) {
            site.nodes = RecExpr::default();
            let (_, facts) = site.build(right)?;
            // A type that says less, or more, would have to be followed to all users.
            if facts.sort != site.graph[root].data.sort {
                return None;
            }
            instances.push(std::mem::take(&mut site.nodes));
        }
        Some(instances)
    }
}

/// A match at which a right side is built.
struct Site<'g> {
    graph: &'g mut Graph,
    subst: &'g Subst,
    nodes: PatternAst<Node>,
}

impl Site<'_> {
    /// The facts of a term that is not built.
    fn facts(&mut self, term: &Term) -> Option<Facts> {
        match term {
            Term::Var(_, var) => Some(self.graph[self.subst[*var]].data.clone()),
            Term::Attr(leaf) => Some(Facts::leaf(leaf.clone())),
            Term::Call {
                function,
                arguments,
            } => {
                let facts: Option<Vec<Facts>> = arguments.iter().map(|a| self.facts(a)).collect();
                let facts = facts?;
                let facts: Vec<&Facts> = facts.iter().collect();
                Some(Facts::attr((function.run)(&facts)?))
            }
            Term::Op { def, children, .. } => {
                let facts: Option<Vec<Facts>> = children.iter().map(|c| self.facts(c)).collect();
                self.op(OpName(*def), &facts?)
            }
        }
    }

    /// Adds the nodes of a term; nothing if its types do not fit.
    fn build(&mut self, term: &Term) -> Option<(Id, Facts)> {
        let facts = match term {
            Term::Var(_, var) => {
                let id = self.nodes.add(ENodeOrVar::Var(*var));
                return Some((id, self.facts(term)?));
            }
            Term::Attr(_) | Term::Call { .. } => self.facts(term)?,
            Term::Op { def, children, .. } => {
                let built: Option<Vec<(Id, Facts)>> =
                    children.iter().map(|c| self.build(c)).collect();
                let (ids, facts): (Vec<Id>, Vec<Facts>) = built?.into_iter().unzip();
                let facts = self.op(OpName(*def), &facts)?;
                let node = Node::Op(OpName(*def), ids.into());
                return Some((self.nodes.add(ENodeOrVar::ENode(node)), facts));
            }
        };
        let node = Node::Attr(facts.as_leaf()?.clone());
        Some((self.nodes.add(ENodeOrVar::ENode(node)), facts))
    }

    fn op(&mut self, name: OpName, children: &[Facts]) -> Option<Facts> {
        let children: Vec<&Facts> = children.iter().collect();
        let facts = self.graph.analysis.op(name, &children);
        (facts.sort != Sort::Nothing).then_some(facts)
    }
}

/// The pattern of a left side, in which nothing is computed.
fn pattern(term: &Term) -> PatternAst<Node> {
    fn add(term: &Term, nodes: &mut PatternAst<Node>) -> Id {
        let node = match term {
            Term::Var(_, var) => ENodeOrVar::Var(*var),
            Term::Attr(leaf) => ENodeOrVar::ENode(Node::Attr(leaf.clone())),
            Term::Op { def, children, .. } => {
                let children = children.iter().map(|c| add(c, nodes)).collect();
                ENodeOrVar::ENode(Node::Op(OpName(*def), children))
            }
            Term::Call { function, .. } => {
                lepid_ir::bug!("the left side of a rule calls `{}`", function.name)
            }
        };
        nodes.add(node)
    }
    let mut nodes = RecExpr::default();
    add(term, &mut nodes);
    nodes
}
