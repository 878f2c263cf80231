/**
 * The build for `<script>`: the global `AiM` is the class, with every other export as a static property (`AiM.Trainer`), and
 * `AiM.embedded()`, the model that comes with the package.
 */
import { embeddedModel } from './checkpoint/embedded.js';
import type { CheckpointSource } from './checkpoint/source.js';
import { IoError } from './core/errors.js';
import * as library from './index.js';
import * as training from './train.js';

const { AiM, ...others } = library;

/** The address of this script, which is known only while it runs for the first time. */
const script = (globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src;

const WEIGHTS = 'models/emoji/model.safetensors';

/** See embedded.ts. A CDN may serve this script under the name of the package alone. */
function embedded(): CheckpointSource {
  if (!script)
    throw new IoError(
      'this script does not know its own address, so it cannot find the embedded model: load it by <script src="…">, or serve a ' +
        'copy of models/emoji and pass its address to fromPretrained.',
    );
  const isFile = /\.m?js$/.test(new URL(script).pathname);
  return embeddedModel(isFile ? new URL(`../${WEIGHTS}`, script).href : `${script.replace(/[?#].*$/, '')}/${WEIGHTS}`);
}

export default Object.assign(AiM, others, training, { embedded });
