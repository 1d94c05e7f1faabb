// Makes what the site shows and the repository does not hold: the API reference from the docstrings, by
// TypeDoc, and copies of the results that the tables link to.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Application, Converter, ReflectionKind } from 'typedoc';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const results = here('../benchmarks/results');
rmSync(here('public/results'), { recursive: true, force: true });
mkdirSync(here('public/results'), { recursive: true });
cpSync(results, here('public/results'), { recursive: true });

const rooms = readdirSync(here('../packages')).filter((name) => name !== 'testing');
const app = await Application.bootstrapWithPlugins({
  name: 'API reference',
  tsconfig: here('tsconfig.api.json'),
  skipErrorChecking: true, // `npm run typecheck` has looked already
  plugin: ['typedoc-plugin-markdown'],
  entryPoints: rooms.map((name) => here(`../packages/${name}/src/index.ts`)),
  basePath: here('..'),
  out: here('api'),
  readme: 'none',
  disableSources: true,
  excludeExternals: true, // what classes inherit from TensorFlow.js is in its own reference
  excludeInternal: true,
  logLevel: 'Error', // a link that leads nowhere becomes text

  outputFileStrategy: 'modules',
  entryFileName: 'index',
  groupOrder: ['Functions', 'Variables', 'Namespaces', '*'],
  tableColumnSettings: { hideInherited: true, hideOverrides: true, hideModifiers: true },
  hideBreadcrumbs: true,
  hidePageHeader: true,
  sanitizeComments: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  typeAliasPropertiesFormat: 'table',
  classPropertiesFormat: 'table',
  propertyMembersFormat: 'table',
  typeDeclarationFormat: 'table',
});
/** The errors that the docstring before a place in a file names, one a tag: TypeDoc leaves them out. */
function errorsAt({ fileName, pos }) {
  const before = readFileSync(fileName, 'utf8').slice(0, pos);
  const docstring = before.slice(before.lastIndexOf('/**'));
  return [...docstring.matchAll(/@throws \{(\w+)\}/g)].map(([, name]) => name);
}

app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
  for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
    const tags = reflection.comment?.blockTags.filter(({ tag }) => tag === '@throws') ?? [];
    const place = project.getSymbolIdFromReflection(reflection.parent ?? reflection);
    if (tags.length === 0 || !place) continue;
    const errors = errorsAt(place);
    for (const [i, { content }] of tags.entries()) {
      for (const part of content) {
        if (part.kind === 'text') part.text = part.text.replace(/\{(\w+Error)\}/g, '`$1`');
      }
      if (errors.length === tags.length) {
        content.unshift({ kind: 'code', text: `\`${errors[i]}\`` }, { kind: 'text', text: ' ' });
      }
    }
  }
  for (const module of project.children ?? []) {
    const name = module.name.split('/').at(-2);
    module.name = name === 'thimble' ? name : `@thimble/${name}`;
  }
});
const project = await app.convert();
if (!project) process.exit(1);
rmSync(here('api'), { recursive: true, force: true });
await app.generateOutputs(project);
