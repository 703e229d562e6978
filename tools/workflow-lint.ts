/**
 * What workflow code may not touch outside of its steps: `node tools/workflow-lint.ts` (part of `make lint`).
 *
 * A workflow function is run again each time its execution is resumed, so the clock, chance, the environment, the network and
 * files belong into steps, whose results are recorded. The replay of the workflow gate finds what open executions come by; this
 * reads the rest as well: the function given to `toLayer`, the keys in `declare`, and what these call in files of ours, but
 * for the bodies of steps. By names and not by types: a call through a value that was handed in is not followed.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import ts from "typescript"

export interface Found {
  readonly file: string
  readonly line: number
  readonly what: string
}

const GLOBALS =
  /^(globalThis\.)?(Date\.now|performance\.\w+|Math\.random|crypto\.\w+|process\.\w+|fetch|WebSocket|set(Timeout|Interval|Immediate))$/
const EFFECTS =
  /^(Clock\.\w+|Random\.\w+|Config\.\w+|DateTime\.(unsafeNow|now\w*)|Effect\.(sleep|delay|timeout\w*|timed\w*|clock\w*|random\w*))$/
const OUTER = /^(node:|pg$|ws$|@effect\/platform|@effect\/sql)/

type Read = (path: string) => string | undefined

interface Module {
  readonly path: string
  readonly source: ts.SourceFile
  /** By local name: the file or package it comes from, and its name there; `*` for a namespace. */
  readonly imported: ReadonlyMap<string, { readonly from: string; readonly name: string }>
  readonly declared: ReadonlyMap<string, ts.Node>
}

const load = (path: string, read: Read): Module | undefined => {
  const text = read(path)
  if (text === undefined) return undefined
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true)
  const imported = new Map<string, { from: string; name: string }>()
  const declared = new Map<string, ts.Node>()
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement) && statement.importClause?.phaseModifier !== ts.SyntaxKind.TypeKeyword) {
      const specifier = (statement.moduleSpecifier as ts.StringLiteral).text
      const from = specifier.startsWith(".") ? join(dirname(path), specifier) : specifier
      const { name, namedBindings } = statement.importClause ?? {}
      if (name !== undefined) imported.set(name.text, { from, name: "default" })
      if (namedBindings !== undefined && ts.isNamespaceImport(namedBindings)) {
        imported.set(namedBindings.name.text, { from, name: "*" })
      } else if (namedBindings !== undefined) {
        for (const each of namedBindings.elements) {
          imported.set(each.name.text, { from, name: (each.propertyName ?? each.name).text })
        }
      }
    } else if (ts.isVariableStatement(statement)) {
      for (const each of statement.declarationList.declarations) {
        if (ts.isIdentifier(each.name)) declared.set(each.name.text, each)
      }
    } else if (ts.isFunctionDeclaration(statement) && statement.name !== undefined) {
      declared.set(statement.name.text, statement)
    }
  }
  return { path, source, imported, declared }
}

/** `steps.plan(body)`, `steps.callTool(key, body)`: the last of what it is given may touch what it likes. */
const isStep = (node: ts.CallExpression): boolean =>
  ts.isPropertyAccessExpression(node.expression) && /(^|\.)steps$/.test(node.expression.expression.getText())

/** A name that stands for a value, and not for a member, a key, a parameter or a type. */
const isUse = (node: ts.Identifier): boolean => {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node
  if (ts.isParameter(parent) || ts.isVariableDeclaration(parent)) return parent.initializer === node
  return !ts.isBindingElement(parent) && !ts.isTypeNode(parent)
}

/** Everything in `files` that is a workflow's, and what it reaches. `read` gives a file's text, or undefined. */
export const check = (files: ReadonlyArray<string>, read: Read): ReadonlyArray<Found> => {
  const modules = new Map<string, Module | undefined>()
  const moduleOf = (path: string) => {
    if (!modules.has(path)) modules.set(path, load(path, read))
    return modules.get(path)
  }
  const seen = new Set<ts.Node>()
  const found = new Map<string, Found>()

  const inspect = (module: Module, root: ts.Node): void => {
    if (seen.has(root)) return
    seen.add(root)
    const tell = (node: ts.Node, what: string) => {
      const line = module.source.getLineAndCharacterOfPosition(node.getStart()).line + 1
      found.set(`${module.path}:${line} ${what}`, { file: module.path, line, what })
    }
    const follow = (node: ts.Node, name: string, member: string | undefined) => {
      const here = module.declared.get(name)
      if (here !== undefined) {
        inspect(module, here)
        return
      }
      const there = module.imported.get(name)
      if (there === undefined) return
      if (OUTER.test(there.from)) {
        tell(node, `${name} of ${there.from}`)
        return
      }
      const target = moduleOf(there.from)
      const declaration = target?.declared.get(there.name === "*" ? (member ?? "") : there.name)
      if (target !== undefined && declaration !== undefined) inspect(target, declaration)
    }
    const visit = (node: ts.Node): void => {
      if (ts.isTypeNode(node)) return
      if (ts.isCallExpression(node) && isStep(node)) {
        for (const key of node.arguments.slice(0, -1)) visit(key)
        return
      }
      if (ts.isNewExpression(node) && node.expression.getText() === "Date" && (node.arguments?.length ?? 0) === 0) {
        tell(node, "new Date()")
      }
      if (ts.isPropertyAccessExpression(node)) {
        const text = node.getText().replace(/\s+/g, "")
        const of = module.imported.get(node.expression.getText())
        if (GLOBALS.test(text) && of === undefined) tell(node, text)
        if (EFFECTS.test(text) && of?.from.startsWith("effect") === true) tell(node, text)
        if (ts.isIdentifier(node.expression)) follow(node, node.expression.text, node.name.text)
        visit(node.expression)
        return
      }
      if (ts.isIdentifier(node) && isUse(node)) {
        if (GLOBALS.test(node.text) && !module.imported.has(node.text)) tell(node, node.text)
        if (!ts.isPropertyAccessExpression(node.parent)) follow(node, node.text, undefined)
        return
      }
      ts.forEachChild(node, visit)
    }
    visit(root)
  }

  for (const path of files) {
    const module = moduleOf(path)
    if (module === undefined) continue
    const look = (node: ts.Node): void => {
      if (ts.isCallExpression(node)) {
        const name = node.expression.getText().replace(/\s+/g, "")
        if (/\.toLayer$/.test(name) && node.arguments[0] !== undefined) inspect(module, node.arguments[0])
        if (name === "declare") {
          for (const property of (node.arguments[0] as ts.ObjectLiteralExpression | undefined)?.properties ?? []) {
            if (/^(idempotencyKey|shardGroup)$/.test(property.name?.getText() ?? "")) inspect(module, property)
          }
        }
      }
      ts.forEachChild(node, look)
    }
    look(module.source)
  }
  return [...found.values()]
}

export const describe = ({ file, line, what }: Found): string =>
  `${file}:${line} uses ${what} in a workflow, outside of its steps.`

/** What makes the steps, and an entity: neither is replayed. */
const OTHERS = ["Declaration.ts", "AgentLive.ts"]

/** The files of `src/agent`, whose folders each hold a version of a workflow. */
export const sourcesOf = (root: string): ReadonlyArray<string> =>
  readdirSync(join(root, "src/agent"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !OTHERS.includes(name))
    .map((name) => join(root, "src/agent", name))

export const readText: Read = (path) => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..")
  const found = check(sourcesOf(root), readText)
  for (const each of found) process.stderr.write(`${describe({ ...each, file: relative(root, each.file) })}\n`)
  if (found.length > 0) {
    process.stderr.write(
      "Why it matters: the function runs again each time its execution is resumed, and may then ask for other steps and do work twice.\nWhat to do: move it into a step, whose result is recorded, or into the payload.\n"
    )
    process.exit(10)
  }
}
