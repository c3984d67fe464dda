// Prism colors the whole document, and listens for messages, unless this object is there first.
self.Prism = { manual: true, disableWorkerMessageHandler: true };
