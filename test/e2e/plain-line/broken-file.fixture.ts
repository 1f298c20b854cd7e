throw new Error('the file cannot be collected');
