// Pulumi's loader of policy packs brings ts-node along, whatever is asked for, and that refuses TypeScript in modules. An `import()`
// goes around it: Node 24 strips the types itself.
module.exports = () => import("./pack.ts")
