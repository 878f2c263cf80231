/** Damaged PyTorch checkpoints: zip archives whose bytes, or whose pickle inside, are damaged. */
import { damaged, mutated } from './mutated.mjs';

/** Opcodes and words that matter in a pickle. */
const TOKENS = [
  ...[
    '.',
    '(',
    ')',
    't',
    '}',
    ']',
    'u',
    'a',
    'e',
    'R',
    'Q',
    'b',
    '2',
    '0',
    'N',
    'q\x00',
    'h\x00',
    'h\xff',
    'K\x01',
    'J\xff\xff\xff\xff',
  ],
  ...[
    'X\xff\xff\xff\xff',
    '\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80',
    'G\x7f\xf8\0\0\0\0\0\0',
    'cos\nsystem\n',
    'cbuiltins\neval\n',
  ],
  ...[
    'ctorch._utils\n_rebuild_tensor_v2\n',
    'ctorch\nHalfStorage\n',
    'ccollections\nOrderedDict\n',
    '((((',
    '\x86',
    '\x87',
    '\x85',
    '\x80\x05',
  ],
].map((text) => Buffer.from(text, 'latin1'));

let entries;

export const mutatedTorch = mutated({
  name: 'torch',
  url: import.meta.url,
  files: 4000,
  share: 10,
  bases({ torch, encodeText = (text) => new TextEncoder().encode(text) }) {
    const values = torch.storage(
      '0',
      'FloatStorage',
      Float32Array.from({ length: 12 }, (_, i) => i),
    );
    const halves = torch.storage('1', 'HalfStorage', new Uint16Array(8));
    const dict = new torch.Ordered([
      ['a', new torch.TensorView(values, [3, 2])],
      ['b.weight', new torch.TensorView(values, [2, 3], [1, 2], 6)],
      ['c', new torch.TensorView(halves, [8], [1], 0, true)],
    ]);
    entries = {
      'archive/data.pkl': torch.pickle(
        new Map([
          ['model', dict],
          ['step', 3],
        ]),
      ),
      'archive/byteorder': encodeText('little'),
      'archive/data/0': values.bytes,
      'archive/data/1': halves.bytes,
      'archive/version': encodeText('3\n'),
    };
    return [torch.zip(entries), torch.zip(entries, { zip64: true })];
  },
  damage(tools, base, { torch }) {
    if (tools.chance(0.4)) return damaged(tools, base);
    const changed = { ...entries };
    if (tools.chance(0.9)) changed['archive/data.pkl'] = damaged(tools, entries['archive/data.pkl'], TOKENS);
    if (tools.chance(0.1)) changed['archive/byteorder'] = damaged(tools, entries['archive/byteorder']);
    if (tools.chance(0.1)) delete changed[tools.pick(Object.keys(changed))];
    return torch.zip(changed, { zip64: tools.chance(0.2) });
  },
  async read({ asSafetensors, bytesSource, parseHeader, readFloats }, bytes) {
    const source = await asSafetensors(bytesSource(bytes, 'x.pth'));
    const header = await parseHeader(source);
    for (const [name, { shape }] of header.tensors) {
      const values = await readFloats(source, header, name);
      const size = shape.reduce((a, b) => a * b, 1);
      if (values.length !== size) return `the tensor ${name} of shape [${shape}] has ${values.length} values`;
    }
    return undefined;
  },
});
