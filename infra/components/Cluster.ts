/** A GKE Autopilot cluster without public addresses. Whoever wants in comes through its DNS endpoint, admitted by IAM. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export interface ClusterArgs {
  readonly environment: names.Environment
  readonly network: pulumi.Output<string>
  readonly subnet: pulumi.Output<string>
  /** KMS key for Secrets in etcd. */
  readonly key: pulumi.Output<string>
  /** Who deploys: an e-mail. */
  readonly deployer: pulumi.Output<string>
  readonly protect: boolean
}

export class Cluster extends pulumi.ComponentResource {
  readonly cluster: gcp.container.Cluster
  /** For `@pulumi/kubernetes`. Holds no secret: the plugin signs in as whoever runs Pulumi. */
  readonly kubeconfig: pulumi.Output<string>

  constructor(name: string, args: ClusterArgs, options?: pulumi.ComponentResourceOptions) {
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
        network: args.network,
        subnetwork: args.subnet,
        ipAllocationPolicy: { clusterSecondaryRangeName: "pods", servicesSecondaryRangeName: "services" },
        privateClusterConfig: { enablePrivateNodes: true },
        controlPlaneEndpointsConfig: {
          dnsEndpointConfig: { allowExternalTraffic: true },
          ipEndpointsConfig: { enabled: false }
        },
        clusterAutoscaling: { autoProvisioningDefaults: { serviceAccount: nodes.email } },
        releaseChannel: { channel: "REGULAR" },
        // Google may restart nodes only then: outside of working hours, and not when drills run (weekday mornings).
        maintenancePolicy: {
          recurringWindow: {
            startTime: "2026-01-03T02:00:00Z",
            endTime: "2026-01-03T08:00:00Z",
            recurrence: "FREQ=WEEKLY;BYDAY=SA,SU"
          }
        },
        binaryAuthorization: { evaluationMode: "PROJECT_SINGLETON_POLICY_ENFORCE" },
        databaseEncryption: { state: "ENCRYPTED", keyName: args.key },
        // Secret Manager holds the model's key; a Kubernetes Secret follows it, which runners read again when it changes.
        secretSyncConfig: { enabled: true, rotationConfig: { enabled: true, rotationInterval: "300s" } },
        gatewayApiConfig: { channel: "CHANNEL_STANDARD" },
        securityPostureConfig: { mode: "BASIC", vulnerabilityMode: "VULNERABILITY_BASIC" },
        costManagementConfig: { enabled: true },
        deletionProtection: args.protect,
        resourceLabels: names.labels(args.environment, "cluster")
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
    new gcp.projects.IAMMember(
      `${name}-deployer-connects`,
      { project, role: connect.name, member: pulumi.interpolate`serviceAccount:${args.deployer}` },
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
