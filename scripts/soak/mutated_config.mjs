/** Damaged config.json files: their text, or the values of their fields. */
import { readFileSync } from 'node:fs';
import { damaged, JSON_TOKENS, mutated } from './mutated.mjs';

const FOLDERS = ['mamba2-adaln', 'mamba1-adaln-group'];
const VALUES = [
  ...[0, -1, 1, 2, 3, 1.5, 64, 1024, 2 ** 31, 2 ** 53, 1e300, -0, null, true, false, '', 'Mamba1', 'Mamba2', 'vq', '__proto__'],
  ...[[], [1, 2], [[]], [-1], [1e9], {}, { layer: 'Mamba2' }, { toString: 1 }, 'x'.repeat(5000)],
];

export const mutatedConfig = mutated({
  name: 'config',
  url: import.meta.url,
  files: 10_000,
  share: 3,
  bases: () => FOLDERS.map((folder) => readFileSync(new URL(`../../test/fixtures/${folder}/config.json`, import.meta.url))),
  damage(tools, base) {
    if (tools.chance(0.4)) return damaged(tools, base, JSON_TOKENS);
    const json = JSON.parse(base);
    for (let n = 1 + tools.int(4); n > 0; n--) {
      const object = tools.pick([json, json, json.ssm_cfg, json.vq_config]);
      if (typeof object !== 'object' || object === null) continue;
      const key = tools.pick([...Object.keys(object), 'condition', 'type', 'layer', 'expand', 'd_conv', 'ngroups']);
      object[key] = tools.chance(0.1) ? undefined : structuredClone(tools.pick(VALUES));
    }
    return Buffer.from(JSON.stringify(json));
  },
  async read({ openCheckpoint, parseConfig }, bytes) {
    const checkpoint = await openCheckpoint({ config: bytes, weights: new Uint8Array(8) });
    const { d_model, n_layer, num_tokens, image_size, json } = parseConfig(await checkpoint.config());
    const sizes = [d_model, n_layer, num_tokens, image_size];
    if (!sizes.every((size) => Number.isSafeInteger(size) && size > 0)) return `sizes are ${sizes}`;
    JSON.stringify(json);
    return undefined;
  },
});
