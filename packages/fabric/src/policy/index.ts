// Network policy, apart from the rest of the package: who reads policies needs no datastore.
export { NodeWorld, type RunningPod } from './directory/node-world.ts';
export {
  type DirectoryOptions,
  PolicyDirectory,
  policyFiles,
  type ResourceSink,
  readPolicyFiles,
} from './directory/policy-directory.ts';
export { parseDocument } from './documents/parse-document.ts';
export { type ReadDocuments, readDocuments } from './documents/read-documents.ts';
export { type Direction, describeResource, type Resource, resourceKey } from './documents/resources.ts';
export { type EndExplanation, type Explanation, explainFlow, findEnd } from './explain/explain.ts';
export { type Finding, lint } from './explain/lint.ts';
export {
  filterBridgedPackets,
  type PolicyOptions,
  type RunningPolicy,
  startPolicy,
} from './kernel/start-policy.ts';
export type { Decision, Packet } from './model/decide.ts';
export { decideFlow, type EndDecision, type FlowDecision } from './model/decide-flow.ts';
export { type Item, PolicyWorld } from './model/policy-world.ts';
