import { readdirSync } from 'node:fs';
import { type DefaultTheme, defineConfig } from 'vitepress';
import { measured } from './measured.ts';

const rooms = readdirSync(new URL('../../packages', import.meta.url)).filter(
  (name) => name !== 'testing' && name !== 'thimble',
);
/** Packages with namespaces have a folder of pages. */
const folders = readdirSync(new URL('../api/@thimble', import.meta.url));
const api = (name: string) => `/api/@thimble/${name}${folders.includes(name) ? '/' : ''}`;

const group = (text: string, folder: string, pages: Record<string, string>) => ({
  text,
  collapsed: true,
  items: Object.entries(pages).map(([name, title]) => ({ text: title, link: `${folder}${name}` })),
});

const sidebar: DefaultTheme.SidebarItem[] = [
  {
    text: 'Begin',
    items: [
      { text: 'Ten-minute start', link: '/guide/start' },
      { text: 'The one idea', link: '/guide/idea' },
      { text: 'Which technique?', link: '/techniques/' },
      { text: 'Recipes', link: '/guide/recipes' },
      { text: 'Search for a budget', link: '/guide/search' },
      { text: 'Before and after', link: '/guide/report' },
      { text: 'The command line', link: '/guide/command-line' },
      { text: 'Questions', link: '/guide/questions' },
    ],
  },
  group('Pruning', '/techniques/pruning/', {
    masks: 'Masks and magnitude',
    criteria: 'Criteria for weights',
    schedules: 'Schedules and rounds',
    regularisers: 'Regularisers',
    'before-training': 'Before training',
    channels: 'Removing channels',
    'network-slimming': 'Network Slimming',
    budgets: 'Ratios for a budget',
    'lottery-ticket': 'Lottery tickets',
  }),
  group('Distillation', '/techniques/distillation/', {
    'soft-targets': 'Soft targets',
    features: 'Features and relations',
    logits: 'Logits and noise',
    peers: 'Peers and generations',
    transfer: 'Transfer learning',
  }),
  group('Quantisation', '/techniques/quantisation/', {
    'after-training': 'After training',
    repairs: 'Repairs after training',
    'in-training': 'In training',
    'learned-steps': 'Learned steps',
    'mixed-precision': 'Bits for each layer',
    'shared-weights': 'Shared weights',
    'powers-of-two': 'Powers of two',
    'fixed-point': 'Training in few bits',
    'binary-weights': 'Binary and ternary weights',
    'binary-networks': 'Binary networks',
  }),
  group('Architecture', '/techniques/architecture/', {
    blocks: 'Compact blocks',
    'low-rank': 'Low rank',
    'shared-filters': 'Versatile and perforated',
  }),
  group('Dynamic inference', '/techniques/dynamic/', {
    'early-exits': 'Early exits',
    slimmable: 'Slimmable widths',
    gates: 'Gates',
  }),
  group('Files and running', '/techniques/files/', {
    'thimble-files': '.thimble files',
    runtime: 'The runtime',
    backend: 'The backend',
    exchange: 'ONNX, Keras, TensorFlow.js',
    costs: 'Costs',
  }),
  {
    text: 'Coming from',
    items: [
      { text: 'TensorFlow Model Optimization', link: '/guide/from-tfmot' },
      { text: 'PyTorch', link: '/guide/from-torch' },
    ],
  },
  {
    text: 'Behind it',
    items: [
      { text: 'Benchmarks', link: '/benchmarks' },
      { text: 'Architecture', link: '/guide/architecture' },
      { text: 'Add a technique', link: '/guide/add-a-technique' },
    ],
  },
];

export default defineConfig({
  title: 'Thimble',
  description: 'Train, shrink and run neural networks in TypeScript, on TensorFlow.js.',
  lang: 'en',
  cleanUrls: true,
  lastUpdated: false,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  markdown: { config: measured },
  vite: { build: { chunkSizeWarningLimit: 2000 } }, // the pages of the API are long
  themeConfig: {
    i18nRouting: false, // a page that is in English alone stays what it is
    search: {
      provider: 'local',
      options: {
        // Of the API a search finds names and what is said of them; all parameters would make it slow.
        _render(source, env, md) {
          const api = env.relativePath.startsWith('api/');
          return md.render(api ? source.replace(/^(####|\|).*$/gm, '') : source, env);
        },
        locales: {
          zh: {
            translations: {
              button: { buttonText: '搜索', buttonAriaLabel: '搜索' },
              modal: { noResultsText: '没有找到', resetButtonTitle: '清除' },
            },
          },
        },
      },
    },
    outline: [2, 3],
  },
  locales: {
    root: {
      label: 'English',
      lang: 'en',
      themeConfig: {
        nav: [
          { text: 'Start', link: '/guide/start' },
          { text: 'Techniques', link: '/techniques/' },
          { text: 'Benchmarks', link: '/benchmarks' },
          { text: 'API', link: '/api/' },
        ],
        sidebar: {
          '/': sidebar,
          '/api/': [
            {
              text: 'API reference',
              link: '/api/',
              items: [
                { text: 'thimble', link: '/api/thimble' },
                ...rooms.map((name) => ({ text: `@thimble/${name}`, link: api(name) })),
              ],
            },
          ],
        },
      },
    },
    zh: {
      label: '简体中文',
      lang: 'zh-Hans',
      description: '用 TypeScript 在 TensorFlow.js 上训练、压缩并运行神经网络。',
      themeConfig: {
        nav: [
          { text: '开始', link: '/zh/' },
          { text: '方法（英文）', link: '/techniques/' },
          { text: '基准（英文）', link: '/benchmarks' },
          { text: 'API（英文）', link: '/api/' },
        ],
        outline: { level: [2, 3], label: '本页目录' },
        docFooter: { prev: '上一页', next: '下一页' },
        darkModeSwitchLabel: '外观',
        sidebarMenuLabel: '菜单',
        returnToTopLabel: '回到顶部',
      },
    },
  },
});
