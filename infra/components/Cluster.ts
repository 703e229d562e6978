/**
 * A GKE Autopilot cluster without public addresses. Whoever wants in comes through its DNS endpoint, admitted by IAM.
 *
 * Names the registry and the deployer's account of the stack that has `delivery: true`: that one comes first.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"
import type { Network } from "./Network.ts"

export class Cluster extends pulumi.ComponentResource {
  readonly cluster: gcp.container.Cluster
  /** For `@pulumi/kubernetes`. Holds no secret: the plugin signs in as whoever runs Pulumi. */
  readonly kubeconfig: pulumi.Output<string>

  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly network: Network; readonly protect: boolean },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Cluster", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)

    // The default node account may edit the whole project. This one may write telemetry and pull images.
    const nodes = new gcp.serviceaccount.Account(
      `${name}-nodes`,
      { project, accountId: names.nodeAccount, displayName: "Nodes of the agents' cluster" },
      parent
    )
    const nodeRole = new gcp.projects.IAMMember(
      `${name}-nodes-role`,
      { project, role: "roles/container.defaultNodeServiceAccount", member: nodes.member },
      parent
    )
    new gcp.artifactregistry.RepositoryIamMember(
      `${name}-nodes-pull`,
      {
        project: names.deliveryProject,
        location: names.region,
        repository: names.registry,
        role: "roles/artifactregistry.reader",
        member: nodes.member
      },
      parent
    )
    this.cluster = new gcp.container.Cluster(
      `${name}-cluster`,
      {
        project,
        name: names.cluster,
        location: names.region,
        enableAutopilot: true,
        network: args.network.network.id,
        subnetwork: args.network.subnet.id,
        ipAllocationPolicy: { clusterSecondaryRangeName: "pods", servicesSecondaryRangeName: "services" },
        privateClusterConfig: { enablePrivateNodes: true },
        controlPlaneEndpointsConfig: {
          dnsEndpointConfig: { allowExternalTraffic: true },
          ipEndpointsConfig: { enabled: false }
        },
        clusterAutoscaling: { autoProvisioningDefaults: { serviceAccount: nodes.email } },
        releaseChannel: { channel: "REGULAR" },
        deletionProtection: args.protect,
        resourceLabels: { app: "agents", env: args.environment }
      },
      { ...parent, protect: args.protect, dependsOn: [nodeRole] }
    )

    // Reaching the API, nothing in it: a Role of the namespace says what the deployer may do there.
    const connect = new gcp.projects.IAMCustomRole(
      `${name}-connect-role`,
      {
        project,
        roleId: "agentsClusterConnect",
        title: "Reach the agents' cluster",
        permissions: ["container.clusters.connect", "container.clusters.get", "container.clusters.list"]
      },
      parent
    )
    const deployer = names.accountEmail(names.deployerAccount(args.environment), names.deliveryProject)
    new gcp.projects.IAMMember(
      `${name}-deployer-connects`,
      { project, role: connect.name, member: `serviceAccount:${deployer}` },
      parent
    )

    this.kubeconfig = this.cluster.controlPlaneEndpointsConfig.apply(({ dnsEndpointConfig }) =>
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "agents",
        contexts: [{ name: "agents", context: { cluster: "agents", user: "agents" } }],
        clusters: [{ name: "agents", cluster: { server: `https://${dnsEndpointConfig?.endpoint ?? ""}` } }],
        users: [
          {
            name: "agents",
            user: {
              exec: {
                apiVersion: "client.authentication.k8s.io/v1beta1",
                command: "gke-gcloud-auth-plugin",
                provideClusterInfo: true,
                interactiveMode: "Never"
              }
            }
          }
        ]
      })
    )
    this.registerOutputs({})
  }
}
