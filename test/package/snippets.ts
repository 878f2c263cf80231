/** The code in the documents for users: README.md, llms.txt, the guides, and examples in the API reference. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const DOCUMENTS = [
  'README.md',
  'llms.txt',
  'docs/training.md',
  ...['guides', 'api', 'api/aim-js'].flatMap((folder) =>
    readdirSync(`${root}docs/${folder}`)
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${folder}/${name}`),
  ),
];

export type Kind = 'node' | 'deno' | 'page' | 'html' | 'react' | 'sh';

export interface Snippet {
  /** Document and place in it, e.g. `page-1`; a file name. */
  name: string;
  document: string;
  kind: Kind;
  code: string;
}

/** Every block of code that something can run, in the order of the documents. */
export function snippets(): Snippet[] {
  return DOCUMENTS.flatMap((document) => {
    // The reference has signatures as `ts`.
    const languages = document.startsWith('docs/api/') ? 'js' : '\\w+';
    const blocks = [
      ...readFileSync(root + document, 'utf8').matchAll(RegExp(`^\`\`\`(${languages})\\n([\\s\\S]*?)^\`\`\`$`, 'gm')),
    ];
    return blocks.map(([, language, code], i) => {
      const name = `${document.replace(/^docs\/|\.\w+$/g, '').replaceAll('/', '-')}-${i + 1}`;
      return { name, document, kind: kindOf(language!, code!, name), code: code! };
    });
  });
}

function kindOf(language: string, code: string, name: string): Kind {
  if (language === 'sh' || language === 'html') return language;
  if (language === 'tsx') return 'react';
  if (language === 'js' || language === 'ts') {
    if (code.includes('npm:aim-js')) return 'deno';
    return /\bdocument\./.test(code) ? 'page' : 'node';
  }
  throw new Error(`${name} is ${language}, which no test runs; see test/package/snippets.test.ts.`);
}
