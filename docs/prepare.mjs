// Makes what the site shows and the repository does not hold: the API reference from the docstrings, by
// TypeDoc, and copies of the results that the tables link to.
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Application, Converter } from 'typedoc';

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
app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
  for (const module of project.children ?? []) {
    const name = module.name.split('/').at(-2);
    module.name = name === 'thimble' ? name : `@thimble/${name}`;
  }
});
const project = await app.convert();
if (!project) process.exit(1);
rmSync(here('api'), { recursive: true, force: true });
await app.generateOutputs(project);
