/** The script inside a worker of `aim-js/train-worker`: a model that draws and is trained. */
import { modelCalls } from './model_calls.js';
import { serve } from './serve.js';
import { trainCalls } from './train_calls.js';

void serve({ ...modelCalls, ...trainCalls });
