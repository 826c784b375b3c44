/* What is in a folder. */
#include "folder.h"

#include <dirent.h>

#include "unit.h"

unsigned folder_entries(const char *folder)
{
    DIR *stream = opendir(folder);
    unsigned count = 0;

    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    assert_int_equal(closedir(stream), 0);
    return count;
}
