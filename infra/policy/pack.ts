/** The policies as a Pulumi policy pack: the engine asks them about every resource, in a preview and before an update. */
import {
  PolicyPack,
  type PolicyResource,
  type ResourceValidationPolicy,
  type StackValidationPolicy
} from "@pulumi/policy"
import { grants } from "../iam.ts"
import { type GrantPolicy, grantPolicies, type Policy, policies } from "../policies.ts"

const ofResource = ({ name, description, violation }: Policy): ResourceValidationPolicy => ({
  name,
  description,
  enforcementLevel: "mandatory",
  validateResource: ({ type, props, opts }, report) => {
    const what = violation({ type, inputs: props, protect: opts.protect })
    if (what !== undefined) report(what)
  }
})

const captured = ({ name, opts, props, type }: PolicyResource) => ({
  name,
  type,
  inputs: props,
  protect: opts.protect,
  secrets: [],
  parent: "",
  dependencies: []
})

const ofGrants = ({ name, description, violation }: GrantPolicy): StackValidationPolicy => ({
  name,
  description,
  enforcementLevel: "mandatory",
  validateStack: ({ resources }, report) => {
    for (const resource of resources) {
      for (const grant of grants([{ stack: "", resources: [captured(resource)] }])) {
        const what = violation(grant)
        if (what !== undefined) report(`${grant.who}: ${grant.role} on ${grant.on} ${what}`, resource.urn)
      }
    }
  }
})

new PolicyPack("agents", { policies: [...policies.map(ofResource), ...grantPolicies.map(ofGrants)] })
