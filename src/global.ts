/** The build for `<script>`: the global `AiM` is the class, with every other export as a static property (`AiM.Trainer`). */
import * as library from './index.js';
import * as training from './train.js';

const { AiM, ...others } = library;

export default Object.assign(AiM, others, training);
