/** Every rule of the manifest gate, in the order in which they are reported. */
import type { Rule } from "./Rule.ts"
import { approval } from "./rules/Approval.ts"
import { connectionBudget } from "./rules/ConnectionBudget.ts"
import { disruptionBudgets } from "./rules/DisruptionBudgets.ts"
import { drainTime } from "./rules/DrainTime.ts"
import { fences } from "./rules/Fences.ts"
import { groupsTaken } from "./rules/GroupsTaken.ts"
import { imageDigests } from "./rules/ImageDigests.ts"
import { knownIdentities } from "./rules/KnownIdentities.ts"
import { labelsOutOfTemplates } from "./rules/LabelsOutOfTemplates.ts"
import { memoryBounds } from "./rules/MemoryBounds.ts"
import { partitionBelowReplicas } from "./rules/PartitionBelowReplicas.ts"
import { phasePartitions } from "./rules/PhasePartitions.ts"
import { phasesDifferInPartition } from "./rules/PhasesDifferInPartition.ts"
import { priorities } from "./rules/Priorities.ts"
import { probes } from "./rules/Probes.ts"
import { publishNotReady } from "./rules/PublishNotReady.ts"
import { restrictedPods } from "./rules/RestrictedPods.ts"
import { rollingUpdate } from "./rules/RollingUpdate.ts"
import { runnerAddress } from "./rules/RunnerAddress.ts"
import { sameShards } from "./rules/SameShards.ts"
import { secretsAreFiles } from "./rules/SecretsAreFiles.ts"
import { unchangingFields } from "./rules/UnchangingFields.ts"

export const rules: ReadonlyArray<Rule> = [
  fences,
  approval,
  partitionBelowReplicas,
  phasePartitions,
  phasesDifferInPartition,
  rollingUpdate,
  unchangingFields,
  labelsOutOfTemplates,
  sameShards,
  groupsTaken,
  runnerAddress,
  publishNotReady,
  drainTime,
  probes,
  disruptionBudgets,
  memoryBounds,
  connectionBudget,
  imageDigests,
  secretsAreFiles,
  restrictedPods,
  knownIdentities,
  priorities
]
