/** The studio: AiM drawing, learning and explaining itself in one page. */
import { byId, messageOf, notify } from './dom.js';
import { dropped, isCheckpoint, type PathFile } from './files.js';
import { onModel, openFiles, startGenerate } from './generate.js';
import { inspect, startInspect } from './inspect.js';
import { openTab, showTab, startTabs } from './tabs.js';
import { startTrain, suggest, take } from './train.js';

startTabs();
startTrain();
startInspect();
onModel(inspect);
onModel(({ backend }) => suggest(backend));
startGenerate();

/** Files may be dropped anywhere: a checkpoint to draw with, or on the Train tab to go on from; all else is to be trained on. */
const target = byId('panels');
addEventListener('dragover', (event) => {
  event.preventDefault();
  target.classList.add('dropping');
});
addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) target.classList.remove('dropping');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  target.classList.remove('dropping');
  if (event.dataTransfer) dropped(event.dataTransfer).then(given, (error) => notify(messageOf(error)));
});

function given(files: PathFile[]): void {
  if (files.length === 0) return;
  if (openTab() !== 'train' && isCheckpoint(files)) return void openFiles(files);
  showTab('train');
  take(files);
}
